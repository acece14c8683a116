"""Progress on the screen: a bar on a terminal, plain lines elsewhere."""

import time
from collections.abc import Iterable, Iterator
from functools import singledispatch
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.table import Column
from rich.text import Text

from zerolabel.annotate import Step
from zerolabel.annotate.chat_progress import ChatProgress
from zerolabel.errors.printable import cut
from zerolabel.runs.stages.deployment import Deployed
from zerolabel.training import EpochLog

LINES_EVERY = 10.0
"""Seconds between two plain lines of one stage."""
BAR = 10
LONGEST_NAME = 26
"""Cells of the bar, and of the name of a stage beside it: with share and times they fit into 80."""


@singledispatch
def share(step: object) -> float:
    """Finished share of the stage after a step, in [0, 1]."""
    raise TypeError(step)


@singledispatch
def parts(step: object) -> list[str]:
    """A step in words, what matters most first."""
    raise TypeError(step)


def note(step: object) -> str:
    """All `parts` of a step."""
    return " · ".join(parts(step))


@share.register
def _(step: Step) -> float:
    return step.done / max(step.total, 1)


@parts.register
def _(step: Step) -> list[str]:
    speed = step.images_per_second
    extra = [] if speed is None else [f"{speed:.0f} images/s"]
    extra += [f"{step.cached} from the cache"] if step.cached else []
    extra += [f"{step.skipped} unreadable"] if step.skipped else []
    return [f"{step.done}/{step.total} images", *extra]


@share.register
def _(step: ChatProgress) -> float:
    return step.done / max(step.total, 1)


@parts.register
def _(step: ChatProgress) -> list[str]:
    extra = [] if step.cached else [f"{step.done / max(step.seconds, 1e-9):.1f} images/s"]
    extra += [f"{step.cached} answers known"] if step.cached else []
    extra += [f"{step.skipped} unreadable"] if step.skipped else []
    extra += [f"no vote: {', '.join(f'{why} {n}' for why, n in step.abstained.items())}"] if step.abstained else []
    extra += [] if step.cost is None else [f"cost {step.cost:.4f}"]
    return [f"{step.done}/{step.total} images", *extra]


@share.register
def _(step: Deployed) -> float:
    return 1.0


@parts.register
def _(step: Deployed) -> list[str]:
    return [f"{step.folder} can predict from now on"]


@share.register
def _(step: EpochLog) -> float:
    return step.progress


@parts.register
def _(step: EpochLog) -> list[str]:
    terms = " ".join(f"{name} {value:.3f}" for name, value in step.losses.items())
    figures = " ".join(f"{name} {value:.4g}" for name, value in step.figures.items())
    lines = [f"epoch {step.epoch + 1}", f"{step.images_per_second:.0f} images/s", figures, terms]
    return [line for line in lines if line]


class Rest(ProgressColumn):
    """Share, times, and as many parts of the last step as the line has room for.

    Args:
        console: whose width it is.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        super().__init__()

    def render(self, task: Task) -> Text:
        """Text that fits between the name and the bar."""
        spent = task.elapsed or 0.0
        left = spent * (1 - task.completed) / task.completed if task.completed else None
        text = f"{100 * task.completed:3.0f}% · {_clock(spent)} elapsed · {_clock(left)} left"
        room = self.console.width - cell_len(task.description) - BAR - 5
        for part in task.fields["parts"]:
            if cell_len(text) + cell_len(part) + 3 > room:
                break
            text += f" · {part}"
        return Text(text, no_wrap=True)


def _clock(seconds: float | None) -> str:
    if seconds is None:
        return "-:--"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"


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
        name = TextColumn("[bold]{task.description}", table_column=Column(no_wrap=True))
        columns = (SpinnerColumn(), name, BarColumn(bar_width=BAR), Rest(self.console))
        with Progress(*columns, console=self.console) as progress:
            task = progress.add_task(cut(stage, LONGEST_NAME), total=1.0, parts=())
            for step in self.warned(steps):
                progress.update(task, completed=share(step), parts=parts(step))
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
        shown: set[str] = set()
        for step in steps:
            for kind, text in getattr(step, "alarms", {}).items():
                if kind not in shown:
                    self.console.print(f"alarm after epoch {step.epoch + 1}: {text}", soft_wrap=True, highlight=False)
                shown.add(kind)
            yield step

    def line(self, stage: str, step: object, seconds: float) -> None:
        """One plain line."""
        done = share(step)
        left = f" · {seconds * (1 - done) / done:.0f} s left" if 0 < done < 1 else ""
        self.console.print(f"{stage}: {100 * done:.0f}% · {note(step)}{left}", soft_wrap=True, highlight=False)
