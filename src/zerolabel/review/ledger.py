"""The file of answers: a line is on the disk before its reviewer sees the next image."""

import os
import threading
from collections.abc import Iterable, Sequence
from dataclasses import astuple
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from zerolabel.data.answers import COLUMNS, Answer, head, latest, line, read_answers
from zerolabel.errors import InputError
from zerolabel.files import writing
from zerolabel.integrations.team_answers import answers_of


class Ledger:
    """Answers in the order in which they came, in memory and in a CSV that is only ever added to.

    Several reviewers, and several processes, may write to one file: a line is one write.

    Args:
        path: of the CSV; it is made with the first answer.

    Raises:
        InputError: the file is no table of answers.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        found = read_answers(path) if path.is_file() and path.stat().st_size else ()
        if found is None:
            raise InputError(f"{path} holds no answers of a review; move it elsewhere.")
        self.answers: list[Answer] = list(found)

    def add(self, answers: Iterable[Answer]) -> None:
        """Write answers and wait until the disk has them.

        Raises:
            InputError: the disk is full, or the file cannot be written.
        """
        new = list(answers)
        with self._lock, writing(self.path.parent):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
            try:
                _write(file, _start(file) + "".join(map(line, new)))
                os.fsync(file)
            finally:
                os.close(file)
            self.answers += new

    def table(self) -> pd.DataFrame:
        """All answers that stand, a row each, with the columns of `zerolabel.data.answers`."""
        return pd.DataFrame([astuple(answer) for answer in latest(self.answers).values()], columns=list(COLUMNS))

    def take_in(self, path: Path, names: Sequence[str] = ()) -> int:
        """Add the answers of another table, such as one that the static page wrote; those that are there stay once.

        Args:
            path: a table of answers, or what another tool exported.
            names: of the images of the review, for files of FiftyOne, which name them without extension.

        Returns:
            How many are new.

        Raises:
            InputError: it cannot be read, or holds no answers.
        """
        if not path.exists():
            raise InputError(f"there are no answers {path}; give the file that the page or the other tool wrote.")
        tool = path.is_dir() or path.suffix.lower() == ".json"
        found = [one for one in (answers_of(path, names) if tool else read_answers(path)) or () if one.why]
        if not found:
            raise InputError(
                f"{path} holds no answers; give a table of file_name, label and why shown, an export of Label Studio "
                "whose tasks carry why_shown, or FiftyOne's folder with why_shown.json and the labels."
            )
        known = set(self.answers)
        new = [answer for answer in found if answer not in known]
        if new:
            self.add(new)
        return len(new)


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _start(file: int) -> str:
    """Text before a new line: the head in an empty file, a line break after an incomplete line."""
    size = os.fstat(file).st_size
    if size == 0:
        return head()
    return "" if os.pread(file, 1, size - 1) == b"\n" else "\n"


def _write(file: int, text: str) -> None:
    data = text.encode()
    while data:
        data = data[os.write(file, data) :]
