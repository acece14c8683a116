"""A classifier as a Core ML package, converted by coremltools from torch; one image at a time.

Every system can write it. macOS alone can run it, so that it is compared with torch there and nowhere else.
"""

import platform
from pathlib import Path

import numpy as np
import torch

from zerolabel.deployment.classifier import Classifier
from zerolabel.deployment.exporter import quiet
from zerolabel.deployment.formats.format import Answer, Format
from zerolabel.deployment.graph import Deployed, Scaled


def convert(classifier: Classifier, folder: Path, precision: str) -> Answer | None:
    """Write ``model.mlpackage``, an ML program for iOS 15, macOS 12 and later."""
    import coremltools

    assert classifier.preprocess is not None
    shape = (1, 3, classifier.preprocess.size, classifier.preprocess.size)
    widths = {"float32": coremltools.precision.FLOAT32, "float16": coremltools.precision.FLOAT16}
    runs = platform.system() == "Darwin"
    with quiet(), torch.no_grad():
        traced = torch.jit.trace(Scaled(Deployed(classifier).eval()).eval(), torch.rand(shape))
        made = coremltools.convert(
            traced,
            convert_to="mlprogram",
            inputs=[coremltools.TensorType(name="images", shape=shape)],
            outputs=[coremltools.TensorType(name="probabilities")],
            compute_precision=widths[precision],
            minimum_deployment_target=coremltools.target.iOS15,
            skip_model_load=not runs,
        )
        made.user_defined_metadata["classes"] = "\n".join(classifier.classes)
        made.save(str(folder / "model.mlpackage"))
    if not runs:
        return None
    return lambda images: np.concatenate(
        [made.predict({"images": images[i : i + 1]})["probabilities"] for i in range(len(images))]
    )


COREML = Format("coreml", ".mlpackage", "coremltools", convert)

__all__ = ["COREML"]
