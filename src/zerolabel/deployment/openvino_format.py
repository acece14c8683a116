"""A classifier as an OpenVINO model, converted by OpenVINO itself from the layout ``nchw``, checked against torch.

An ``.xml`` file and the ``.bin`` with its weights: input ``images``, float32 (N, 3, S, S) of RGB values in [0, 1],
resized by the caller; output ``probabilities``.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
from jaxtyping import Float

from zerolabel.errors import InputError
from zerolabel.files import atomic

NAME, PACKAGE = "openvino", "openvino"
SUFFIX = ".xml"


def packaged() -> ModuleType:
    """The package that converts.

    Raises:
        InputError: it is not installed.
    """
    try:
        import openvino
    except ImportError as error:
        raise InputError(
            f"--format openvino needs the package openvino ({error}); pip install 'zerolabel-vision[openvino]'."
        ) from None
    package: ModuleType = openvino
    return package


def convert(
    model: onnx.ModelProto, folder: Path, precision: str
) -> Callable[[Float[np.ndarray, "N 3 S S"]], np.ndarray]:
    """Write ``model.xml`` and ``model.bin`` into a folder.

    Args:
        model: graph in the layout ``nchw``, in float32.
        folder: an existing one.
        precision: of the stored weights, float32 or float16.

    Returns:
        A function from images to probabilities that runs what was written, in float32 on the processor.
    """
    openvino = packaged()
    with tempfile.TemporaryDirectory() as place:
        onnx.save(model, f"{place}/model.onnx")
        found = openvino.convert_model(f"{place}/model.onnx")
    openvino.save_model(found, folder / "model.xml", compress_to_fp16=precision == "float16")
    hints = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    compiled = openvino.Core().compile_model(folder / "model.xml", "CPU", hints)
    return lambda images: np.asarray(compiled([images])[0])


def move(folder: Path, path: Path) -> None:
    """Put both files in their place, the weights first, so that no model is there without them."""
    for made, target in ((folder / "model.bin", path.with_suffix(".bin")), (folder / "model.xml", path)):
        with atomic(target) as partial:
            partial.write_bytes(made.read_bytes())


__all__ = ["NAME", "SUFFIX", "convert", "move", "packaged"]
