"""What a command shows: tables, JSON, progress, and one line for a mistake."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

from zerolabel.plain_json import dumps
from zerolabel.redaction import redacted

if TYPE_CHECKING:
    from zerolabel.runs.progress import Display

PLAIN_WIDTH = 160


def show(table: Any, data: Any, as_json: bool) -> None:
    """A table on the screen, or JSON on standard output."""
    if as_json:
        print(dumps(data, indent=2))
    else:
        wide().print(table)


def wide(*, stderr: bool = False) -> Console:
    """The terminal, or lines of `PLAIN_WIDTH` where there is none, so that paths stay whole in files and logs."""
    console = Console(stderr=stderr, emoji=False)
    return console if console.is_terminal else Console(stderr=stderr, width=PLAIN_WIDTH, emoji=False)


def display() -> "Display":
    """Progress, on standard error."""
    from zerolabel.runs.progress import Display

    return Display(wide(stderr=True))


def command_line() -> list[str]:
    """The command as it was typed, without passwords and tokens in its URLs."""
    return [Path(sys.argv[0]).name, *map(redacted, sys.argv[1:])]


def say(mark: str, text: str) -> None:
    """One line on standard error, whatever is in it but passwords and tokens of URLs."""
    Console(stderr=True, emoji=False).print(mark, escape(redacted(text)), soft_wrap=True, highlight=False)
