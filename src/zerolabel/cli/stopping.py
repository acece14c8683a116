"""Handles interrupts, termination requests and a closed terminal."""

import inspect
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

from zerolabel.cli.screen import say

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class Stopped(BaseException):
    """A signal came; its number is in ``code``, as a shell tells it: 128 and the signal."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.code = 128 + number


@contextmanager
def stoppable(message: str) -> Iterator[None]:
    """Raise `Stopped` inside where a signal comes; a second one ends the process at once.

    Signals that the process was started to ignore stay ignored, as under ``nohup``. Outside the main thread, which
    gets no signals, nothing changes.

    Args:
        message: the sentence for a second signal.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []

    def stop(number: int, _: FrameType | None) -> None:
        if came:
            tell(message)
            os._exit(128 + number)
        came.append(number)
        raise Stopped(number)

    before = {one: signal.getsignal(one) for one in SIGNALS}
    taken = [one for one, handler in before.items() if handler not in (signal.SIG_IGN, None)]
    for one in taken:
        signal.signal(one, stop)
    try:
        yield
    finally:
        for one in taken:
            signal.signal(one, before[one])


def tell(message: str) -> None:
    """Say on standard error that the command was stopped; a terminal that is gone is no hindrance."""
    try:
        say("[bold red]error:[/]", message)
    except (OSError, ValueError):
        return


CONTINUING = ("compare", "improve", "simulate")
"""Commands that continue by themselves with what is in the output folder."""


def how_to_continue(given: Sequence[str], commands: Sequence[Callable[..., Any]]) -> str:
    """The end of a sentence about a command that did not finish: how to continue."""
    known = {command.__name__.replace("_", "-"): command for command in commands}
    name = next((word for word in given if word in known), None)
    if name in CONTINUING or "--resume" in given:
        return "the same command continues after what is finished"
    if name is None or "resume" not in inspect.signature(known[name]).parameters:
        return "the same command starts again"
    more = "with --resume in place of --overwrite" if "--overwrite" in given else "with --resume"
    return f"the same command {more} continues"


__all__ = ["Stopped", "how_to_continue", "stoppable", "tell"]
