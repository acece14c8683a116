"""Training in several processes, one a device, which hold the same state after each pass.

Image i belongs to rank i mod W of W. Each rank draws its part of every batch from its own images and rewrites their
rows; the gradients of a step are averaged. After a pass the rows come from their owners, other floating-point buffers
are averaged, and the rest is that of the first rank. In each step, queues and prototypes take embeddings of all ranks
(`zerolabel.blocks.gathering`). Between passes all ranks draw the same random numbers, within a pass each its own.
"""

import multiprocessing
import os
import signal
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass
from multiprocessing.connection import wait

import torch
import torch.distributed as dist
from jaxtyping import Int, Shaped
from torch import Tensor, nn

from zerolabel.errors import InputError

WAIT = 10.0
"""Seconds in which the other ranks end with the first one, or are known to be dead where a connection broke."""
Groups = tuple[Int[Tensor, " _"], ...]


@dataclass(frozen=True)
class Ranks:
    """Place of this process among those that train together; by default it is alone.

    Attributes:
        rank: from 0.
        count: W.
    """

    rank: int = 0
    count: int = 1

    def mine(self, index: Int[Tensor, " M"]) -> Int[Tensor, " _"]:
        """Those of some images that belong to this rank."""
        return index if self.count == 1 else index[index % self.count == self.rank]

    def groups(self, groups: Groups) -> Groups:
        """The part of this rank of each group of a pass.

        In the first group that is not empty, parts are as long as the largest, since ranks must take equally many
        steps: a shorter one repeats some of its images. A rank that owns none of a group draws from all of it.
        """
        if self.count == 1:
            return groups
        parts = [part if len(part := self.mine(group)) else group for group in groups]
        first = next((place for place, group in enumerate(groups) if len(group)), None)
        if first is not None:
            owners = torch.bincount(groups[first] % self.count, minlength=self.count)
            length = int(owners.where(owners > 0, len(groups[first])).max())
            repeats = -(-length // len(parts[first]))
            parts[first] = parts[first].repeat(repeats)[:length]
        return tuple(parts)

    def size(self, batch_size: int) -> int:
        """Images of a batch that this rank draws."""
        return max(1, batch_size // self.count)

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Random numbers of its own for each rank inside, and the same for all after it."""
        if self.count == 1:
            yield
            return
        own, after = torch.randint(1 << 62, (2,)).tolist()
        torch.manual_seed(own + self.rank)
        yield
        torch.manual_seed(after)

    @torch.no_grad()
    def average_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Mean over ranks; none stays where no rank has a gradient, and counts as zero where another has one."""
        if self.count == 1:
            return
        there = torch.tensor([p.grad is not None for p in parameters], dtype=torch.uint8, device=parameters[0].device)
        dist.all_reduce(there, dist.ReduceOp.MAX)
        moved = [p for p, known in zip(parameters, there.tolist(), strict=True) if known]
        for p in moved:
            p.grad = torch.zeros_like(p) if p.grad is None else p.grad
        flat = torch.cat([p.grad.flatten() for p in moved if p.grad is not None])
        dist.all_reduce(flat)
        parts = (flat / self.count).split([p.numel() for p in moved])
        for p, part in zip(moved, parts, strict=True):
            p.grad = part.view_as(p).clone(memory_format=torch.preserve_format)

    @torch.no_grad()
    def synchronize(self, module: nn.Module, n_images: int) -> None:
        """Make the buffers of all ranks equal.

        Args:
            module: learner or network.
            n_images: N, the length of a buffer with rows of images; 0 where it has none.
        """
        if self.count == 1:
            return
        for buffer in module.buffers():
            axis = next((k for k, length in enumerate(buffer.shape) if n_images and length == n_images), None)
            if axis is not None:
                rows = buffer.movedim(axis, 0)
                buffer.copy_(self.rows(rows[self.rank :: self.count]).movedim(0, axis))
            elif buffer.is_floating_point():
                dist.all_reduce(buffer)
                buffer /= self.count
            else:
                given = buffer.to(torch.uint8) if buffer.dtype == torch.bool else buffer.clone()
                dist.broadcast(given, 0)
                buffer.copy_(given)

    def rows(self, own: Shaped[Tensor, "M ..."]) -> Shaped[Tensor, "N ..."]:
        """Rows of all images, of which each rank gives those of its own."""
        if self.count == 1:
            return own
        given = own.to(torch.uint8) if own.dtype == torch.bool else own
        lengths = torch.zeros(self.count, dtype=torch.long, device=own.device)
        lengths[self.rank] = len(own)
        dist.all_reduce(lengths)
        padded = given.new_zeros(int(lengths.max()), *given.shape[1:])
        padded[: len(given)] = given
        parts = [torch.empty_like(padded) for _ in range(self.count)]
        dist.all_gather(parts, padded.contiguous())
        woven = torch.stack(parts, 1).flatten(0, 1)[: int(lengths.sum())]
        return woven.to(own.dtype)

    def means(self, sums: Mapping[str, float], counts: Mapping[str, int]) -> dict[str, float]:
        """Mean of each loss term over the steps of all ranks."""
        found: list[tuple[Mapping[str, float], Mapping[str, int]]] = [(sums, counts)]
        if self.count > 1:
            found = [({}, {}) for _ in range(self.count)]
            dist.all_gather_object(found, (dict(sums), dict(counts)))
        names = dict.fromkeys(name for one, _ in found for name in one)
        return {
            name: sum(one.get(name, 0.0) for one, _ in found) / sum(other.get(name, 0) for _, other in found)
            for name in names
        }

    def agreed(self, number: int | None) -> int | None:
        """The number that the first rank gives."""
        if self.count == 1:
            return number
        said: list[int | None] = [number]
        dist.broadcast_object_list(said, 0)
        return said[0]


ALONE = Ranks()


@contextmanager
def together(count: int, kind: str, work: Callable[..., Iterable[object]], *arguments: object) -> Iterator[Ranks]:
    """Start the other ranks, which run through ``work(*arguments, ranks)``, and end them.

    Args:
        count: W; with 1 nothing is started.
        kind: of device, "cpu" or "cuda".
        work: an iterator's function that can be pickled.
        arguments: of it, which are copied to each rank.

    Raises:
        InputError: a rank died.
    """
    if count == 1:
        yield ALONE
        return
    threads, spawned = torch.get_num_threads(), multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        each = max(1, threads // count)
        others = [
            spawned.Process(target=_follow, args=(rank, count, kind, each, folder, work, arguments), daemon=True)
            for rank in range(1, count)
        ]
        try:
            for other in others:
                other.start()
            torch.set_num_threads(each)
            _join(0, count, kind, folder)
            yield Ranks(0, count)
            for other in others:
                other.join(WAIT)
        except RuntimeError:
            ended = wait([other.sentinel for other in others], WAIT)
            for other in others:
                if other.sentinel in ended:
                    other.join(WAIT)
            dead = [other.exitcode for other in others if other.exitcode]
            if not dead:
                raise
            raise InputError(
                f"a process of the training died (exit code {dead[0]}); --resume continues after its last whole epoch."
            ) from None
        finally:
            for other in others:
                other.kill()
            if dist.is_initialized():
                dist.destroy_process_group()
            torch.set_num_threads(threads)


def _join(rank: int, count: int, kind: str, folder: str) -> None:
    backend = "nccl" if kind == "cuda" else "gloo"
    dist.init_process_group(backend, init_method=f"file://{folder}/meeting", rank=rank, world_size=count)


def _follow(
    rank: int,
    count: int,
    kind: str,
    threads: int,
    folder: str,
    work: Callable[..., Iterable[object]],
    arguments: tuple[object, ...],
) -> None:
    """Run another rank, which says nothing: an error of all ranks is reported by the first."""
    end_with_parent()
    warnings.simplefilter("ignore")
    torch.set_num_threads(threads)
    if kind == "cuda":
        seen = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
        os.environ["CUDA_VISIBLE_DEVICES"] = seen[rank] if len(seen) > rank else str(rank)
    own = deepcopy(arguments)  # what was sent shares its memory with the first rank, which waits for this one to join
    _join(rank, count, kind, folder)
    with suppress(FloatingPointError):
        for _ in work(*own, Ranks(rank, count)):
            pass
    dist.destroy_process_group()


def end_with_parent() -> None:
    """In a worker: leave interrupts to the parent process, and end where it does, however it does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def follow() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


__all__ = ["ALONE", "Ranks", "end_with_parent", "together"]
