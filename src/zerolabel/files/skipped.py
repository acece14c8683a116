"""``skipped.csv``: the files that took no part, and the reasons."""

import csv
from collections.abc import Sequence
from pathlib import Path

from zerolabel.files import delimited
from zerolabel.files.writing import replacing

NAME = "skipped.csv"


def save_skipped(folder: Path, skipped: Sequence[tuple[str, str]], *, empty: bool = True) -> None:
    """Write the list into a folder.

    Args:
        folder: beside the annotations that lack these images.
        skipped: name of each file, and the reason.
        empty: write an empty list, too; False removes the file where nothing was skipped.

    Raises:
        InputError: the folder cannot be written.
    """
    if not skipped and not empty:
        (folder / NAME).unlink(missing_ok=True)
        return
    with replacing(folder / NAME) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        delimited.write(file, [("file_name", "reason"), *skipped])


def read_skipped(folder: Path) -> tuple[tuple[str, str], ...]:
    """Name of each file in the list of a folder, and the reason; none where there is no list."""
    path = folder / NAME
    if not path.is_file():
        return ()
    with path.open(newline="", encoding="utf-8") as lines:
        rows = [(row.get("file_name") or "", row.get("reason") or "") for row in csv.DictReader(lines)]
    return tuple((delimited.original(name), delimited.original(reason)) for name, reason in rows if name)


__all__ = ["read_skipped", "save_skipped"]
