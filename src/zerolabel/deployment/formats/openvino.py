"""A classifier as an OpenVINO model, converted by OpenVINO itself from the layout ``nchw``.

An ``.xml`` file and the ``.bin`` with its weights: input ``images``, float32 (N, 3, S, S) of RGB values in [0, 1],
resized by the caller; output ``probabilities``.
"""

import tempfile
from pathlib import Path

import numpy as np
import onnx

from zerolabel.deployment.classifier import Classifier
from zerolabel.deployment.formats.format import Answer, Format
from zerolabel.deployment.graph import graph


def convert(classifier: Classifier, folder: Path, precision: str) -> Answer:
    """Write ``model.xml`` and ``model.bin``; what was written is run in float32 on the processor."""
    import openvino

    with tempfile.TemporaryDirectory() as place:
        onnx.save(graph(classifier, "nchw"), f"{place}/model.onnx")
        found = openvino.convert_model(f"{place}/model.onnx")
    openvino.save_model(found, folder / "model.xml", compress_to_fp16=precision == "float16")
    hints = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    compiled = openvino.Core().compile_model(folder / "model.xml", "CPU", hints)
    return lambda images: np.asarray(compiled([images])[0])


OPENVINO = Format("openvino", ".xml", "openvino", convert)

__all__ = ["OPENVINO"]
