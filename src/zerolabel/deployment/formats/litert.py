"""A classifier as a LiteRT file (TensorFlow Lite), converted by litert-torch from torch; one image at a time."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from zerolabel.deployment.classifier import Classifier
from zerolabel.deployment.exporter import quiet
from zerolabel.deployment.formats.format import Answer, Format
from zerolabel.deployment.graph import Deployed, Scaled


class _Named(nn.Module):
    """The names of input and output become those of the file's signature."""

    def __init__(self, scaled: Scaled) -> None:
        super().__init__()
        self.scaled = scaled

    def forward(self, images: Float[Tensor, "1 3 S S"]) -> dict[str, Float[Tensor, "1 C"]]:
        return {"probabilities": self.scaled(images)}


def convert(classifier: Classifier, folder: Path, precision: str) -> Answer:
    """Write ``model.tflite``; what was written is run by LiteRT's interpreter on one thread."""
    import litert_torch
    from ai_edge_litert.interpreter import Interpreter

    assert classifier.preprocess is not None
    side = classifier.preprocess.size
    with quiet(), torch.no_grad():
        module = _Named(Scaled(Deployed(classifier).eval()).eval())
        made = litert_torch.convert(module.eval(), sample_kwargs={"images": torch.rand(1, 3, side, side)})
        made.export(str(folder / "model.tflite"))
    run = Interpreter(str(folder / "model.tflite"), num_threads=1).get_signature_runner()
    return lambda images: np.concatenate([run(images=images[i : i + 1])["probabilities"] for i in range(len(images))])


LITERT = Format("litert", ".tflite", "litert_torch", convert, ("float32",))

__all__ = ["LITERT"]
