"""Formats beside ONNX: from ``images``, float32 (N, 3, S, S), RGB in [0, 1], resized before, to ``probabilities``."""

from zerolabel.deployment.formats.coreml import COREML
from zerolabel.deployment.formats.format import Format
from zerolabel.deployment.formats.litert import LITERT
from zerolabel.deployment.formats.openvino import OPENVINO

FORMATS: dict[str, Format] = {one.name: one for one in (OPENVINO, LITERT, COREML)}

__all__ = ["FORMATS", "Format"]
