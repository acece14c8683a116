"""Commands that list algorithms and check the installation."""

from typing import Annotated as Arg

import typer

from zerolabel.cli.arguments import JsonOpt
from zerolabel.cli.screen import show


def learners(
    name: Arg[str | None, typer.Argument(help="Learner to show in detail.")] = None,
    as_json: JsonOpt = False,
) -> None:
    """List the learners, or show one with its paper, arguments, ranges and defaults."""
    from zerolabel.cli import listing, tables

    entries = listing.learners(name)
    show(
        tables.algorithms(entries, whole=name is not None, kind="learner"),
        [entry.to_dict() for entry in entries],
        as_json,
    )


def methods(
    name: Arg[str | None, typer.Argument(help="Method to show in detail.")] = None,
    as_json: JsonOpt = False,
) -> None:
    """List the methods of `adapt` and `transduce`, or show one with its paper, arguments, ranges and defaults."""
    from zerolabel.cli import listing, tables

    entries = listing.methods(name)
    shown = tables.algorithms(entries, whole=name is not None, kind="method")
    show(shown, [entry.to_dict() for entry in entries], as_json)


def doctor(as_json: JsonOpt = False) -> None:
    """Check what is installed, which devices and models are available, and how to get what is missing."""
    from zerolabel.cli import tables
    from zerolabel.cli.doctor import examine

    findings = examine()
    show(tables.doctor(findings), [finding.to_dict() for finding in findings], as_json)
