"""Answers of people who looked at images: a table with who said what, when, and why the image was shown.

Why an image was shown decides what its answer may be used for. ``random`` marks images of which each had the same
chance to be drawn: they measure, and training never sees them. What begins with ``random`` and says more was drawn at
random among some of the images, and answers that question alone. What begins with ``chosen`` was picked, by a rule or
by hand: it teaches, and no figure is measured on it.
"""

import io
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import pyarrow as pa

from zerolabel.data.images.decoding import one_line
from zerolabel.errors import InputError
from zerolabel.files import parquet
from zerolabel.files.delimited import FILE_COLUMNS, LABEL_COLUMNS, body, decoded, find_column, rows, write

Use = Literal["train", "measure"]
"""Purposes of labels: training or measuring."""
COLUMNS = ("file_name", "label", "reviewer", "time", "why shown")
"""Heads of the table."""
NONE, UNSURE, WITHDRAWN = "none of these", "unsure", ""
"""Answers other than a class: none of them, unsure, withdrawn."""
RANDOM = "random"
"""Why shown: drawn at random, each image with the same chance."""
DIFFERING = f"{RANDOM} where two differ"
"""Why shown: drawn at random among the images on which two classifiers give different answers."""
PLAIN = f"{RANDOM} for a guarantee"
"""Why shown: drawn at random without strata, to bound the wrong labels of a whole data set."""
LOW = f"{RANDOM} among low scores"
"""Why shown: drawn at random within parts of the score's order, low scores more often, to find unknown classes."""
CHOSEN = "chosen"
"""Prefix of the reasons of images that were not drawn at random."""
RIVALS = f"{CHOSEN}: to compare models"
"""Why shown: several models differ on it."""
TAUGHT = f"{CHOSEN}: to teach"
"""Why shown: its label should improve the next training most."""
BY_HAND = f"{CHOSEN}: to label by hand"
"""Why shown: a guarantee asks for the labels of all doubtful images."""


@dataclass(frozen=True)
class Answer:
    """One person's answer about one image.

    Attributes:
        file_name: of the image.
        label: a class name, or `NONE`, `UNSURE` or `WITHDRAWN`.
        reviewer: who said it.
        time: when, in UTC, as ISO 8601.
        why: why the image was shown.
    """

    file_name: str
    label: str
    reviewer: str
    time: str
    why: str


def line(answer: Answer) -> str:
    """A row of the table, with its line break."""
    buffer = io.StringIO()
    write(buffer, [astuple(answer)])
    return buffer.getvalue()


def head() -> str:
    """The first line of the table."""
    return ",".join(COLUMNS) + "\n"


def read_answers(path: Path) -> tuple[Answer, ...] | None:
    """Read a table of answers, oldest first; a last line that a killed program left unfinished does not count.

    A table that other people filled in may lack the reviewer, who is then called as the file is, and the time, which
    is then the file's.

    Args:
        path: CSV or parquet.

    Returns:
        None where the table does not say why images were shown, as plain labels do not.

    Raises:
        InputError: it cannot be read.
    """
    try:
        if path.suffix.lower() == ".parquet":
            heads = parquet.schema(path).names
            if _places(heads) is None:
                return None  # its other columns may hold images
            cells = parquet.read(path).to_pydict().values()
            table = [heads, *([_text(cell) for cell in row] for row in zip(*cells, strict=True))]
        else:
            table = rows(_whole_lines(decoded(path.read_bytes())), path.suffix.lower())
        if not table or (places := _places(table[0])) is None:
            return None
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except (OSError, ValueError, pa.ArrowException) as error:
        reason = one_line(error)
        raise InputError(f"{path} cannot be read ({reason}); give a CSV or parquet.") from None
    written = datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="seconds")
    found = [_answer(row, places, path.stem, written) for row in body(table, 1, len(table[0]), [places[0] or 0])]
    filled_in = places[2] is None
    return tuple(one for one in found if one.file_name.strip() and (one.label or not filled_in))


def _text(cell: object) -> str:
    return "" if cell is None or cell != cell else str(cell)


def _whole_lines(text: str) -> str:
    """Without a last line that is cut off: it has no line break, and fewer cells than the head."""
    kept, ended, last = text.rpartition("\n")
    if not ended or not last or last.count(",") >= kept.partition("\n")[0].count(","):
        return text
    return kept + ended


def _places(heads: Sequence[str]) -> list[int | None] | None:
    """Columns in the order of `COLUMNS`; None where one is missing that is needed."""
    wanted = (FILE_COLUMNS, LABEL_COLUMNS, ("reviewer",), ("time",), ("why_shown",))
    places = [find_column(heads, names) for names in wanted]
    return None if None in (places[0], places[1], places[4]) else places


def _answer(row: Sequence[str], places: Sequence[int | None], reviewer: str, time: str) -> Answer:
    """One row; who filled the table in and when where no column says it."""
    name, label, who, when, why = (None if place is None else row[place] for place in places)
    label, why = str(label).strip(), str(why).strip()
    return Answer(
        str(name), label, reviewer if who is None else who.strip(), time if when is None else when.strip(), why
    )


def latest(answers: Iterable[Answer]) -> dict[tuple[str, str], Answer]:
    """Each reviewer's last answer about each image, by file name and reviewer, without withdrawn ones."""
    last = {(answer.file_name, answer.reviewer): answer for answer in answers}
    return {key: answer for key, answer in last.items() if answer.label != WITHDRAWN}


def consensus(answers: Iterable[Answer]) -> dict[str, str]:
    """One label of each image: what most of its reviewers say, `UNSURE` where no label has more than any other."""
    votes: dict[str, Counter[str]] = {}
    for answer in latest(answers).values():
        votes.setdefault(answer.file_name, Counter())[answer.label] += 1
    return {name: _most(counted) for name, counted in votes.items()}


def _most(counted: Counter[str]) -> str:
    """The label with most votes; who is unsure does not outvote who is sure."""
    sure = Counter({label: n for label, n in counted.items() if label != UNSURE})
    first = sure.most_common(2)
    tie = len(first) == 2 and first[0][1] == first[1][1]
    return UNSURE if not first or tie else first[0][0]


FITS: dict[Use, Callable[[str], bool]] = {
    "measure": lambda why: why == RANDOM,
    "train": lambda why: not why or why.startswith(CHOSEN),
}
"""Usable answers by the reason for which an image was shown; without one, a person chose to label it."""


def usable(answers: Sequence[Answer], use: Use, path: Path) -> list[tuple[str, str]]:
    """File name and class of the images whose answers have a use; an empty class where none of the classes fits.

    An image that was drawn to measure stays out of training even where it was chosen as well.

    Args:
        answers: as `read_answers` gives them.
        use: what for.
        path: what messages call the table.

    Warns:
        UserWarning: answers are left out, since they have another use.
    """
    measuring = {answer.file_name for answer in answers if answer.why.startswith(RANDOM)}
    chosen = [
        answer
        for answer in answers
        if FITS[use](answer.why) and (use == "measure" or answer.file_name not in measuring)
    ]
    labels = consensus(chosen)
    others = set(consensus(answers)) - set(labels)
    if others:
        other = (
            "drawn at random to measure with" if use == "train" else "chosen to teach, or drawn for another question"
        )
        warnings.warn(
            f"{path}: {len(others)} of {len(others) + len(labels)} answers are left out, since their images were "
            f"{other}.",
            stacklevel=2,
        )
    return [(name, "" if label in (NONE, UNSURE) else label) for name, label in labels.items()]
