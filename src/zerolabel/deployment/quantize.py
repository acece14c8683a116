"""An ONNX file of a classifier with int8 weights and activations, kept only where it pays.

Static quantization by ONNX Runtime (per channel, QDQ): the ranges of activations are those on images of the user. The
resize and the normalization in the graph stay as they are. Weights use 7 of the 8 bits, since a processor without VNNI
adds two products in 16 bits and cuts larger sums off, so that a file would agree on one machine and not on another.
"""

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import onnx
import onnxruntime
from jaxtyping import UInt8
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from zerolabel.data.images import Unreadable
from zerolabel.data.images.image_set import ImageSet
from zerolabel.deployment.exporter import quiet
from zerolabel.errors import InputError
from zerolabel.files import atomic

LEAST_AGREEMENT = 0.99
"""Share of the images that must keep their class."""
CALIBRATION, COMPARED, TIMED = 128, 500, 30
"""Images that set the ranges, images on which both files are compared, and runs of which the median is taken."""
OPERATORS = ("Conv", "Gemm", "MatMul")


@dataclass(frozen=True)
class Quantized:
    """An int8 file beside the float32 one, on this machine.

    Attributes:
        agreement: share of the compared images that both files give the same class.
        n_checked: number of compared images.
        speedup: median time of one image with one thread, float32 over int8.
        n_bytes: size of the int8 file.
        kept: True if the file was written: it agrees and it is faster.
    """

    agreement: float
    n_checked: int
    speedup: float
    n_bytes: int
    kept: bool


def quantize(float_file: Path, path: str | os.PathLike[str], images: ImageSet) -> Quantized:
    """Quantize an exported classifier of layout ``uint8``, and keep the result if it agrees and is faster.

    Args:
        float_file: what `zerolabel.deployment.export.export` wrote.
        path: the int8 file; it is not written where it does not pay.
        images: to calibrate on and to compare on.

    Raises:
        InputError: no image is readable, or the file has another layout.
    """
    if onnx.load(str(float_file), load_external_data=False).graph.input[0].name != "image":
        raise InputError(f"{float_file} does not read uint8 images; quantize the file of the default format.")
    arrays = list(_readable(images, COMPARED))
    if not arrays:
        raise InputError(f"no image of {images.root} can be read; --quantize needs images to set its ranges.")
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "int8.onnx"
        with quiet():
            quantize_static(
                str(float_file), str(made), _Calibration(arrays[:CALIBRATION]), quant_format=QuantFormat.QDQ,
                op_types_to_quantize=list(OPERATORS), per_channel=True, weight_type=QuantType.QInt8,
                activation_type=QuantType.QUInt8, reduce_range=True,
            )  # fmt: skip
        both = [_session(float_file), _session(made)]
        same = [_answer(both[0], array) == _answer(both[1], array) for array in arrays]
        slow, fast = _times(both, arrays[0])
        agreement, speedup = float(np.mean(same)), slow / fast
        kept = agreement >= LEAST_AGREEMENT and speedup > 1
        if kept:
            with atomic(Path(path)) as partial:
                partial.write_bytes(made.read_bytes())
        return Quantized(agreement, len(arrays), speedup, made.stat().st_size, kept)


class _Calibration(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    """One image at a time, since their sizes differ."""

    def __init__(self, arrays: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> None:
        self.left = iter(arrays)

    def get_next(self) -> dict[str, UInt8[np.ndarray, "1 H W 3"]] | None:
        """The next image, or None."""
        array = next(self.left, None)
        return None if array is None else {"image": array[None]}


def _readable(images: ImageSet, limit: int) -> Iterator[UInt8[np.ndarray, "_ _ 3"]]:
    found = 0
    for index in range(len(images)):
        if found == limit:
            return
        try:
            array = np.asarray(images.read(index))
        except Unreadable:
            continue
        found += 1
        yield array


def _session(file: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def _answer(session: onnxruntime.InferenceSession, array: UInt8[np.ndarray, "H W 3"]) -> int:
    return int(session.run(None, {"image": array[None]})[0].argmax())


def _times(sessions: Sequence[onnxruntime.InferenceSession], array: UInt8[np.ndarray, "H W 3"]) -> list[float]:
    """Median seconds of each session, measured in turns so that a busy machine slows all alike."""
    spent: list[list[float]] = [[] for _ in sessions]
    for _ in range(TIMED):
        for session, seconds in zip(sessions, spent, strict=True):
            start = time.perf_counter()
            _answer(session, array)
            seconds.append(time.perf_counter() - start)
    return [median(seconds) for seconds in spent]


__all__ = ["Quantized", "quantize"]
