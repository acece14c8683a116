"""Console output: tables, JSON, progress, and one line for an error."""

import errno
import os
import sys
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.segment import Segment

from zerolabel.errors.printable import cut, json_text, visible
from zerolabel.errors.redaction import redacted

if TYPE_CHECKING:
    from zerolabel.runs.progress import Display

STARTED = time.perf_counter()
"""When the command began, but for the start of the interpreter."""
PLAIN_WIDTH = 160
CLOSED_PIPE = 1
"""Exit code where the reader of standard output has gone, as after ``| head``."""


class Terminal(Console):
    """A console on which no text steers the terminal; what `rich` itself sends does."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Pieces of text, in which names are `visible`."""
        for piece in super().render(renderable, options):
            yield piece if piece.control else Segment(visible(piece.text, lines=True), piece.style)

    def on_broken_pipe(self) -> None:
        """Leave it to `main`, which ends with `CLOSED_PIPE`."""
        raise BrokenPipeError


def show(table: object, data: object, as_json: bool) -> None:
    """A table on the screen, or JSON on standard output."""
    if as_json:
        from zerolabel.files.plain_json import dumps

        print(json_text(dumps(data, indent=2)))
    else:
        wide().print(table)


def wide(*, stderr: bool = False) -> Console:
    """The terminal, or lines of `PLAIN_WIDTH` where there is none, so that paths stay whole in files and logs."""
    console = Terminal(stderr=stderr, emoji=False)
    return console if console.is_terminal else Terminal(stderr=stderr, width=PLAIN_WIDTH, emoji=False)


def display() -> "Display":
    """Progress, on standard error."""
    from zerolabel.runs.progress import Display

    return Display(wide(stderr=True))


def command_line() -> list[str]:
    """The command as it was typed, without passwords and tokens in its URLs."""
    return ["zerolabel", *map(redacted, sys.argv[1:])]


def say(mark: str, text: str) -> None:
    """One line on standard error, whatever is in it but passwords and tokens of URLs."""
    Terminal(stderr=True, emoji=False).print(
        mark, escape(visible(cut(redacted(text)))), soft_wrap=True, highlight=False
    )


def open_streams() -> None:
    """Make standard output and error ones that no text can break.

    What is redirected is UTF-8, as files are, whatever the console's encoding; a terminal keeps its own, in which
    characters that it lacks are written as escapes. Streams that were closed swallow what is written.
    """
    for name in ("stdout", "stderr"):
        stream: Any = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            encoding = stream.encoding if stream.isatty() else "utf-8"
            stream.reconfigure(encoding=encoding, errors="backslashreplace")


def flush() -> None:
    """Send what waits in standard output, where a reader that has gone is still noticed.

    Raises:
        BrokenPipeError: it has gone.
        OSError: the disk is full.
    """
    try:
        sys.stdout.flush()
    except OSError as error:
        drop()
        if error.errno == errno.EINVAL:  # how Windows says it
            raise BrokenPipeError from None
        raise


def drop() -> None:
    """Let what still waits in standard output go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, sys.stdout.fileno())
    except (OSError, ValueError):  # a stream without a file of its own
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    finally:
        os.close(nowhere)
