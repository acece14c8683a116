"""Figures of a committed result that a call did not measure again stay as they are, where ``--add`` asks for it."""

import json
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def add_option(parser: ArgumentParser) -> None:
    """``--add``: a call adds to the committed result instead of replacing it."""
    parser.add_argument("--add", action="store_true", help="keep the committed figures of what is not run here")


def read(path: Path, add: bool) -> dict[str, Any]:
    """A committed result; empty where there is none or it is to be replaced."""
    return dict(json.loads(path.read_text(encoding="utf-8"))) if add and path.is_file() else {}


def renew(old: Sequence[Row], new: Sequence[Row], keys: Sequence[str]) -> list[Row]:
    """The new rows in the places of the old ones that agree with them in ``keys``, other new rows at the end.

    >>> renew([{"seed": 0, "x": 1}, {"seed": 1, "x": 2}], [{"seed": 1, "x": 3}, {"seed": 2, "x": 4}], ["seed"])
    [{'seed': 0, 'x': 1}, {'seed': 1, 'x': 3}, {'seed': 2, 'x': 4}]
    """
    rows = {tuple(row[key] for key in keys): row for row in old}
    rows.update({tuple(row[key] for key in keys): row for row in new})
    return list(rows.values())
