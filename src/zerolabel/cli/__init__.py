"""The command line: a verb per stage; each reads files, calls one public function, and writes files."""

import logging
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Annotated as Arg
from typing import Any

import typer

from zerolabel.cli import (
    adaptation,
    annotation,
    classifiers,
    comparison,
    embedding,
    help,
    hub,
    improvement,
    integrations,
    review,
    run,
    simulation,
    transduction,
)
from zerolabel.cli.screen import CLOSED_PIPE, drop, flush, open_streams, say
from zerolabel.cli.stopping import Stopped, how_to_continue, stoppable, tell
from zerolabel.errors import DiskFullError, InputError
from zerolabel.version import __version__

COMMANDS: tuple[Callable[..., None], ...] = (
    run.run,
    embedding.embed,
    annotation.annotate,
    annotation.inspect,
    annotation.candidates,
    annotation.merge,
    transduction.transduce,
    adaptation.adapt,
    simulation.simulate,
    integrations.export_labels,
    integrations.import_labels,
    classifiers.train,
    comparison.compare,
    review.review,
    improvement.improve,
    classifiers.evaluate,
    classifiers.predict,
    classifiers.export,
    hub.push,
    hub.pull,
    classifiers.report,
    help.learners,
    help.methods,
    help.doctor,
    run.demo,
)
"""In the order of `zerolabel --help`."""
NAMES = tuple(command.__name__.replace("_", "-") for command in COMMANDS)

UsageError: Any = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")
"""Exceptions of the command-line parser; typer has its own copy of click, or uses click's."""


def version(wanted: bool) -> bool:
    """Print the version, and end, where that is wanted."""
    if wanted:
        print(__version__)
        raise typer.Exit
    return wanted


def options(
    version: Arg[bool, typer.Option("--version", callback=version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """From a folder of unlabeled images and class names to a small, deployable image classifier."""


def parser(given: Sequence[str]) -> typer.Typer:
    """The parser of a command line; only a command that is named in it gets its options, since these take time."""
    app = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)
    app.callback()(options)
    for name, command in zip(NAMES, COMMANDS, strict=True):
        app.command(name)(command if name in given else without_options(command))
    return app


def without_options(command: Callable[..., None]) -> Callable[[], None]:
    """A command of the same description for the list of commands."""

    def listed() -> None:
        """Never called."""

    listed.__doc__ = command.__doc__
    return listed


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; a mistake of the user's is one sentence and exit code 2.

    Args:
        arguments: without the name of the program; by default those it was called with.

    Raises:
        SystemExit: with code 2 for what the user must fix, 1 for a training that failed or where the reader of
            standard output has gone; 130 when interrupted, and 143 or 129 when told to terminate or to hang up.
    """
    open_streams()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_: say("[yellow]note:[/]", str(message))
        warnings.filterwarnings("ignore", module=r"PIL(\.|$)")  # one per damaged image; skipped.csv says what matters
        logging.getLogger("PIL").setLevel(logging.CRITICAL)
        given = sys.argv[1:] if arguments is None else list(arguments)
        again = how_to_continue(given, COMMANDS)
        stopped = f"stopped; {again}."
        try:
            with stoppable(stopped):
                code = parser(given)(args=given or ["--help"], prog_name="zerolabel", standalone_mode=False)
            if code == 130:  # the parser's way to say that it was interrupted
                raise KeyboardInterrupt
            flush()
        except BrokenPipeError:
            drop()
            raise SystemExit(CLOSED_PIPE) from None
        except (typer.Abort, KeyboardInterrupt):
            tell(stopped)
            raise SystemExit(130) from None
        except Stopped as stop:
            tell(stopped)
            raise SystemExit(stop.code) from None
        except Exception as error:
            message = sentence(error, again)
            if message is None:
                raise
            say("[bold red]error:[/]", message)
            raise SystemExit(1 if isinstance(error, FloatingPointError) else 2) from None


def _is_disk_full(error: Exception) -> bool:
    """True for an error of the operating system or of safetensors about missing disk space."""
    from safetensors import SafetensorError

    from zerolabel.files import FULL

    return isinstance(error, OSError | SafetensorError) and (
        getattr(error, "errno", None) in FULL or any(f"(os error {number})" in str(error) for number in FULL)
    )


def sentence(error: Exception, again: str) -> str | None:
    """The message to the user about an error; none where it is a fault of the program.

    Args:
        error: that ended the command.
        again: how to continue once the reason is gone.
    """
    if isinstance(error, UsageError):
        message = " ".join(error.format_message().split()).rstrip(".")
        command = error.ctx.command_path if getattr(error, "ctx", None) else "zerolabel"
        message = f"{message[:1].lower()}{message[1:]}"
        return message if message.endswith("?") else f"{message}; see `{command} --help`."
    if isinstance(error, DiskFullError):
        return f"{str(error).rstrip('.')}; {again}."
    if _is_disk_full(error):
        return (
            "the disk is full, or takes no file of this size; free some space, or give -o and --cache another place; "
            f"{again}."
        )
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {(error.strerror or str(error)).lower()}; give another path, or fix this one."
    return str(error) if isinstance(error, InputError | FloatingPointError) else None
