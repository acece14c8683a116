"""The pass over the images by workers of Ray Data, on this machine or a cluster; the parts are as the local ones."""

import os
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from zerolabel import vlms
from zerolabel.annotate.embedding import Block, Step, encode_range, open_store, ranges
from zerolabel.annotate.parts import Question, part_path, write_part
from zerolabel.errors import InputError
from zerolabel.images import ImageSet
from zerolabel.vlms.clip import DualEncoder


class Worker:
    """Annotates ranges of the images with a model of its own, on one core or one GPU.

    What it writes is named by the range, and appears whole or not at all, so that a range which is done twice
    leaves the same file.
    """

    def __init__(
        self, images: ImageSet, model: str, device: str, question: Question, parts: Path, cache: Path, size: int
    ) -> None:
        if device == "cpu":
            torch.set_num_threads(1)
        self.images, self.question, self.parts, self.size = images, question, parts, size
        self.encoder = vlms.load(model, device)
        self.store = open_store(self.encoder, cache)

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Annotate one range.

        Args:
            batch: ``first`` and ``stop``, a row.

        Returns:
            How many images were dealt with, could not be read, and were known.
        """
        place, block = (int(batch["first"][0]), int(batch["stop"][0])), Block()
        deque(encode_range(self.images, place, self.encoder, self.size, self.store, block), 0)
        write_part(part_path(self.parts, place), self.images, block, self.encoder, self.store, self.question)
        counts = {"done": place[1] - place[0], "skipped": len(block.skipped), "cached": block.cached}
        return {name: np.array([count]) for name, count in counts.items()}


def steps_on_ray(
    images: ImageSet,
    encoder: DualEncoder,
    question: Question,
    parts: Path,
    cache: str | os.PathLike[str],
    batch_size: int,
    address: str | None,
) -> Iterator[Step]:
    """Let the workers write the parts.

    Yields:
        A step for every range, as they finish, in any order.

    Raises:
        InputError: Ray is not installed, or there is no cluster at the address.
    """
    ray = _connect(address)
    start, now, device = time.perf_counter(), np.zeros(3, np.int64), encoder.device.type
    rows = [{"first": first, "stop": stop} for first, stop in ranges(len(images))]
    share = {"num_gpus": 1} if device == "cuda" else {"num_cpus": 1}
    most = max(1, int(ray.cluster_resources().get("GPU" if device == "cuda" else "CPU", 1)))
    done = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
        Worker,
        fn_constructor_args=(
            images, encoder.name, device, question, parts.absolute(), Path(cache).absolute(), batch_size
        ),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=min(most, len(rows))),
        **share,
    )  # fmt: skip
    for row in done.iter_rows():
        now += [row["done"], row["skipped"], row["cached"]]
        counts = now.tolist()
        yield Step(counts[0], len(images), counts[1], counts[2], time.perf_counter() - start)


def _connect(address: str | None) -> Any:
    try:
        import ray
        import ray.data
    except ImportError:
        raise InputError("--engine ray needs a package; run: pip install zerolabel[ray]") from None
    if not ray.is_initialized():
        try:
            ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        except (ConnectionError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"--ray-address {address}: there is no Ray cluster ({reason}); start one.") from None
    ray.data.DataContext.get_current().enable_progress_bars = False
    return ray
