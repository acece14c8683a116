"""Latency of an exported classifier on this machine by ONNX Runtime, beside that of the model that annotated.

Single images and batches, on one thread and on all, within about a second altogether: the figures are for orientation,
and a busy machine gives larger ones.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import onnxruntime
import torch

from zerolabel.vlms.clip import DualEncoder

BATCHES = (1, 32)
SECONDS = 0.12
"""Time for each figure."""
MOST_RUNS = 50


@dataclass(frozen=True)
class Latency:
    """Time of one image.

    Attributes:
        model: ``classifier``, or the name of the annotator.
        batch: images at a time.
        threads: of the processor.
        milliseconds: per image, the median; none where a batch would have taken longer than there was time for.
    """

    model: str
    batch: int
    threads: int
    milliseconds: float | None


def of_file(file: Path, height: int, width: int) -> list[Latency]:
    """Latencies of an ONNX file that `zerolabel.deployment.export.export` wrote.

    Args:
        file: in any of its layouts.
        height: of the images, in pixels, where the layout is ``uint8``.
        width: likewise.
    """
    found: list[Latency] = []
    for threads in _threads():
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        found += _figures("classifier", threads, partial(_run_of, session, height, width))
    return found


def of_encoder(encoder: DualEncoder) -> list[Latency]:
    """Latencies of the image encoder on its device, in the precision in which it annotated, without decoding."""
    found: list[Latency] = []
    for threads in _threads():
        with _torch_threads(threads):
            found += _figures(encoder.name, threads, partial(_encoding_of, encoder))
    return found


def _figures(model: str, threads: int, act_of: Callable[[int], Callable[[], object]]) -> Iterator[Latency]:
    """A figure for each batch, none for one that, by the time of a single image, takes longer than there is time for.

    Args:
        model: its name.
        threads: in use.
        act_of: from the number of images to what is timed.
    """
    alone = 0.0
    for batch in BATCHES:
        if alone * batch > 2 * SECONDS:
            yield Latency(model, batch, threads, None)
            continue
        seconds = _median(act_of(batch))
        alone = alone or seconds
        yield Latency(model, batch, threads, 1000 * seconds / batch)


def _run_of(session: onnxruntime.InferenceSession, height: int, width: int, batch: int) -> Callable[[], object]:
    """A prediction on drawn images."""
    (given,) = session.get_inputs()
    random = np.random.default_rng(0)
    shape = (height, width, 3) if given.name == "image" else tuple(given.shape[1:])
    drawn = random.integers(0, 256, (batch, *shape), dtype=np.uint8)
    fed = drawn if given.name == "image" else drawn.astype(np.float32) / 255
    return partial(session.run, None, {given.name: fed})


def _encoding_of(encoder: DualEncoder, batch: int) -> Callable[[], object]:
    """An encoding of drawn images."""
    side = encoder.image_size
    return partial(encoder.encode_images, torch.rand(batch, 3, side, side, generator=torch.Generator().manual_seed(0)))


def _threads() -> tuple[int, ...]:
    """One, and as many as this process may use."""
    every = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return (1, every) if every > 1 else (1,)


@contextmanager
def _torch_threads(n: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _median(act: Callable[[], object]) -> float:
    """Median seconds of an act after its first time, which warms up; at least one more."""
    spent: list[float] = []
    end = time.perf_counter() + SECONDS
    while len(spent) <= MOST_RUNS:
        start = time.perf_counter()
        act()
        spent.append(time.perf_counter() - start)
        if len(spent) > 1 and time.perf_counter() > end:
            break
    return median(spent[1:])


__all__ = ["BATCHES", "Latency", "of_encoder", "of_file"]
