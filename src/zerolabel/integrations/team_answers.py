"""Answers of a review in files of other tools whose images carry the sampling design."""

from datetime import UTC, datetime
from pathlib import Path

from zerolabel.data.answers import Answer
from zerolabel.integrations.files import read_table
from zerolabel.integrations.label_studio import answers_in
from zerolabel.integrations.sampling import WHY


def answers_of(path: Path) -> tuple[Answer, ...] | None:
    """Answers in an export of Label Studio, or in a table with the column of `WHY`; None for any other file.

    Raises:
        InputError: the file cannot be read.
    """
    if path.suffix.lower() == ".json":
        return _of_tasks(path)
    if path.suffix.lower() not in (".csv", ".tsv", ".parquet"):
        return None
    table = read_table(path, ())
    if not {"file_name", "label", WHY} <= set(map(str, table.columns)):
        return None
    when = datetime.now(UTC).isoformat(timespec="seconds")
    rows = zip(table["file_name"], table["label"], table[WHY], strict=True)
    return tuple(Answer(name, label, path.stem, when, why) for name, label, why in rows if label and why)


def _of_tasks(path: Path) -> tuple[Answer, ...]:
    """Choices of people in an export as JSON, with the reason that their task carries."""
    return tuple(
        Answer(image, label, f"person {person}", when, why)
        for image, person, when, label, why in answers_in(path)
        if why
    )


__all__ = ["answers_of"]
