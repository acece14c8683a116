"""Progress on the screen: a bar on a terminal, plain lines elsewhere."""

import time
from collections.abc import Iterable, Iterator
from functools import singledispatch
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from zerolabel.annotate import Step
from zerolabel.annotate.chat_progress import Asked
from zerolabel.training import EpochLog

LINES_EVERY = 10.0
"""Seconds between two plain lines of one stage."""


@singledispatch
def share(step: Any) -> float:
    """How much of its stage is done after a step, in [0, 1]."""
    raise TypeError(step)


@singledispatch
def note(step: Any) -> str:
    """A step in words."""
    raise TypeError(step)


@share.register
def _(step: Step) -> float:
    return step.done / max(step.total, 1)


@note.register
def _(step: Step) -> str:
    extra = [f"{step.cached} from the cache"] if step.cached else []
    extra += [f"{step.skipped} unreadable"] if step.skipped else []
    return " · ".join([f"{step.done}/{step.total} images", f"{step.images_per_second:.0f} images/s", *extra])


@share.register
def _(step: Asked) -> float:
    return step.done / max(step.total, 1)


@note.register
def _(step: Asked) -> str:
    extra = [f"{step.cached} answers known"] if step.cached else []
    extra += [f"{step.skipped} unreadable"] if step.skipped else []
    extra += [f"no vote: {', '.join(f'{why} {n}' for why, n in step.abstained.items())}"] if step.abstained else []
    extra += [] if step.cost is None else [f"cost {step.cost:.4f}"]
    speed = f"{step.done / max(step.seconds, 1e-9):.1f} images/s"
    return " · ".join([f"{step.done}/{step.total} images", speed, *extra])


@share.register
def _(step: EpochLog) -> float:
    return step.progress


@note.register
def _(step: EpochLog) -> str:
    terms = " ".join(f"{name} {value:.3f}" for name, value in step.losses.items())
    figures = " ".join(f"{name} {value:.4g}" for name, value in step.figures.items())
    parts = [f"epoch {step.epoch + 1}", terms, figures, f"{step.images_per_second:.0f} images/s"]
    return " · ".join(part for part in parts if part)


class Display:
    """Wraps the steps of a stage and shows them as they pass.

    Args:
        console: where to; a bar needs a terminal.
    """

    def __init__(self, console: Console) -> None:
        self.console = console

    def __call__(self, stage: str, steps: Iterator[Any]) -> Iterable[Any]:
        """Pass the steps on."""
        return self.bar(stage, steps) if self.console.is_terminal else self.lines(stage, steps)

    def bar(self, stage: str, steps: Iterator[Any]) -> Iterator[Any]:
        """One line that moves."""
        columns = (
            SpinnerColumn(),
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("[dim]{task.fields[note]}"),
        )
        with Progress(*columns, console=self.console) as progress:
            task = progress.add_task(stage, total=1.0, note="")
            for step in self.warned(steps):
                progress.update(task, completed=share(step), note=note(step))
                yield step

    def lines(self, stage: str, steps: Iterator[Any]) -> Iterator[Any]:
        """A line now and then, with the time that is left."""
        start, shown, last = time.monotonic(), float("-inf"), None
        for step in self.warned(steps):
            last = step
            if time.monotonic() - shown >= LINES_EVERY:
                shown = time.monotonic()
                self.line(stage, step, shown - start)
                last = None
            yield step
        if last is not None:
            self.line(stage, last, time.monotonic() - start)

    def warned(self, steps: Iterator[Any]) -> Iterator[Any]:
        """Pass the steps on, and tell each alarm of a training the first time it is seen."""
        told: set[str] = set()
        for step in steps:
            for kind, text in getattr(step, "alarms", {}).items():
                if kind not in told:
                    self.console.print(f"alarm after epoch {step.epoch + 1}: {text}", soft_wrap=True, highlight=False)
                told.add(kind)
            yield step

    def line(self, stage: str, step: Any, seconds: float) -> None:
        """One plain line."""
        done = share(step)
        left = f" · {seconds * (1 - done) / done:.0f} s left" if 0 < done < 1 else ""
        self.console.print(f"{stage}: {100 * done:.0f} % · {note(step)}{left}", soft_wrap=True, highlight=False)
