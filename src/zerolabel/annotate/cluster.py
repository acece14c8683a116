"""Calls of a function by workers of Ray, on this machine or a cluster."""

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TypeVar

import torch

from zerolabel.errors import InputError, nearest

ENGINES = ("local", "ray")
RETRIES = 3
"""How often Ray repeats a call whose worker died."""
Result = TypeVar("Result")


@dataclass(frozen=True)
class Share:
    """Part of a machine that a call uses.

    Attributes:
        threads: of a call, each on a core of its own unless a card computes.
        cards: graphics cards; a fraction where several calls share one.
    """

    threads: int = 1
    cards: float = 0.0

    @classmethod
    def of(cls, device: str, at_once: int) -> "Share":
        """Part that a call uses where so many share a machine like this one."""
        threads = max(1, torch.get_num_threads() // at_once)
        return cls(threads, min(1.0, torch.cuda.device_count() / at_once) if device == "cuda" else 0.0)

    @property
    def asked(self) -> dict[str, float]:
        """Resources by the names of Ray."""
        return {"num_gpus": self.cards, "num_cpus": 1.0} if self.cards else {"num_cpus": float(self.threads)}


def parse_engine(asked: str) -> tuple[str, str | None]:
    """Name of an engine, and the address of its cluster; no address starts one on this machine.

    Raises:
        InputError: there is no such engine.
    """
    name, _, address = asked.partition(":")
    if name not in ENGINES:
        raise InputError(f"--engine {name}: there is no such engine{nearest(name, ENGINES)}")
    return name, address or None


def connect(address: str | None) -> ModuleType:
    """Ray, connected to a cluster or to a new one on this machine.

    Raises:
        InputError: Ray is not installed, or there is no cluster at the address.
    """
    try:
        import ray
        import ray.data
    except ImportError:
        raise InputError("--engine ray needs a package; run: pip install 'zerolabel-vision[ray]'") from None
    if not ray.is_initialized():
        try:
            _knock(address)
            ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        except (OSError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"--ray-address {address}: there is no Ray cluster ({reason}); start one.") from None
    ray.data.DataContext.get_current().enable_progress_bars = False
    found: ModuleType = ray
    return found


def calls(
    function: Callable[..., Result],
    arguments: Sequence[tuple[object, ...]],
    share: Share,
    address: str | None,
    shared: tuple[object, ...] = (),
) -> Iterator[tuple[int, Result]]:
    """Call a function once per entry, each time in a new process of a worker, and again where the worker died.

    Args:
        function: called with an entry of `arguments` and then with `shared`; a repeated call must give the same result.
        arguments: of each call.
        share: part of a machine that each call uses.
        address: of the cluster; none starts one on this machine.
        shared: further arguments, which are sent to each machine once.

    Yields:
        Place of the call and its result, in the order in which calls end.

    Raises:
        InputError: there is no cluster, no machine of it is large enough, or a worker died `RETRIES` times and again.
    """
    ray = connect(address)
    _check(ray, share)
    remote = ray.remote(max_calls=1, max_retries=RETRIES, **share.asked)(_call)
    common = [ray.put(one) for one in shared]
    waiting = {
        remote.remote(function, Path.cwd(), share.threads, *entry, *common): place
        for place, entry in enumerate(arguments)
    }
    try:
        while waiting:
            (done,), _ = ray.wait(list(waiting), num_returns=1)
            with _errors(ray):
                result: Result = ray.get(done)
            yield waiting.pop(done), result
    finally:
        for left in waiting:
            ray.cancel(left, force=True)


def _call(function: Callable[..., Result], folder: Path, threads: int, *arguments: object) -> Result:
    with suppress(OSError):  # relative paths are those of the driver where this machine has its folder
        os.chdir(folder)
    torch.set_num_threads(threads)
    return function(*arguments)


@contextmanager
def _errors(ray: ModuleType) -> Iterator[None]:
    """Raise what a call raised, as it would be here.

    Raises:
        InputError: its worker died too often.
    """
    try:
        yield
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except ray.exceptions.RayError as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise InputError(
            f"a worker of Ray died {RETRIES + 1} times in the same call ({reason}); give its machine more memory, or "
            "repeat the command, which continues from what is finished."
        ) from None


def _check(ray: ModuleType, share: Share) -> None:
    """Check that a machine of the cluster is large enough; Ray itself would wait for one."""
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if share.cards and not any(machine.get("GPU", 0) for machine in machines):
        raise InputError("no machine of the Ray cluster has a graphics card; give --device cpu.")
    largest = int(max((machine.get("CPU", 0) for machine in machines), default=0))
    if not share.cards and largest < share.threads:
        raise InputError(
            f"a call uses {share.threads} cores, and no machine of the Ray cluster has more than {largest}; give "
            "larger --jobs, which share the cores of a machine."
        )


def _knock(address: str | None) -> None:
    """Raise at once where nothing answers at HOST:PORT; Ray itself would try for minutes."""
    host, _, port = (address or "").rpartition("://")[2].rpartition(":")
    if host:
        socket.create_connection((host, int(port)), timeout=10).close()


__all__ = ["ENGINES", "Share", "calls", "connect", "parse_engine"]
