"""The pass over the images by workers of Ray Data, on this machine or a cluster; the parts are as the local ones."""

import os
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from zerolabel import vlms
from zerolabel.annotate.cluster import connect
from zerolabel.annotate.embedding import Block, Step, encode_range, open_store, ranges
from zerolabel.annotate.feature_cache import FeatureCache
from zerolabel.annotate.known import KnownFeatures
from zerolabel.annotate.shards import Question, part_path, write_part
from zerolabel.data.images import ImageSet
from zerolabel.vlms.encoder import Encoder


@dataclass(frozen=True)
class Job:
    """Everything a worker needs.

    Attributes:
        images: N images.
        model: how it is named, see `zerolabel.vlms.load`.
        device: type of device, such as "cpu".
        precisions: in which it encodes, and in which its features are stored.
        question: what every image is asked.
        parts: folder of the parts.
        cache: folder of image features.
        batch_size: images per call of the encoder.
        folder: what relative paths are relative to, where a worker's machine has it.
    """

    images: ImageSet
    model: str
    device: str
    precisions: tuple[str, str]
    question: Question
    parts: Path
    cache: Path
    batch_size: int
    folder: Path


@lru_cache(maxsize=1)
def _begin(reference: Any) -> tuple[Job, Encoder, FeatureCache | KnownFeatures]:
    """Fetch the job, and load its model, once in each process."""
    import ray

    job: Job = ray.get(reference)
    with suppress(OSError):
        os.chdir(job.folder)
    if job.device == "cpu":
        torch.set_num_threads(1)
    encoder = vlms.load(job.model, job.device, *job.precisions)
    return job, encoder, open_store(encoder, job.cache, job.images)


def annotate_range(batch: dict[str, np.ndarray], reference: list[Any]) -> dict[str, np.ndarray]:
    """Annotate one range of the images in a worker, on one core or one GPU.

    The part is named by the range, and appears whole or not at all: a range which is done twice leaves the same file.

    Args:
        batch: ``first`` and ``stop``, a row.
        reference: where Ray keeps the `Job`; in a list, so that it is not sent along with every range.

    Returns:
        How many images were dealt with, could not be read, and were known.
    """
    job, encoder, store = _begin(reference[0])
    place, block = (int(batch["first"][0]), int(batch["stop"][0])), Block()
    deque(encode_range(job.images, place, encoder, job.batch_size, store, block), 0)
    write_part(part_path(job.parts, place), job.images, block, encoder, store, job.question)
    counts = {"done": place[1] - place[0], "skipped": len(block.skipped), "cached": block.cached}
    return {name: np.array([count]) for name, count in counts.items()}


def steps_on_ray(
    images: ImageSet,
    encoder: Encoder,
    question: Question,
    parts: Path,
    cache: str | os.PathLike[str],
    batch_size: int,
    address: str | None,
) -> Iterator[Step]:
    """Let the workers write the parts. Ray does a range again where its worker died.

    Yields:
        A step for every range, as they finish, in any order.

    Raises:
        InputError: Ray is not installed, or there is no cluster at the address.
    """
    ray = connect(address)
    start, now, device = time.perf_counter(), np.zeros(3, np.int64), encoder.device.type
    rows = [{"first": first, "stop": stop} for first, stop in ranges(len(images))]
    places = parts.absolute(), Path(cache).absolute()
    job = Job(images, encoder.name, device, encoder.precisions, question, *places, batch_size, Path.cwd())
    share = {"num_gpus": 1} if device == "cuda" else {"num_cpus": 1}
    done = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
        annotate_range, fn_kwargs={"reference": [ray.put(job)]}, batch_size=1, **share
    )
    for row in done.iter_rows():
        now += [row["done"], row["skipped"], row["cached"]]
        counts = now.tolist()
        yield Step(counts[0], len(images), counts[1], counts[2], time.perf_counter() - start)
