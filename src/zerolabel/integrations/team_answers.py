"""Answers of a review in files of other tools whose images carry the sampling design."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from zerolabel.data.answers import Answer
from zerolabel.integrations import fiftyone
from zerolabel.integrations.label_studio import answers_in


def answers_of(path: Path, names: Sequence[str]) -> tuple[Answer, ...]:
    """Answers in an export of Label Studio as JSON, or in FiftyOne's folder of label files.

    Args:
        path: of the file or the folder.
        names: of the images, for files that name them without extension.

    Raises:
        InputError: it cannot be read.
    """
    if not path.is_dir():
        return tuple(
            Answer(image, label, f"person {who}", when, why) for image, who, when, label, why in answers_in(path)
        )
    found, file = fiftyone.answers_in(path, names)
    when = datetime.fromtimestamp(file.stat().st_mtime, UTC).isoformat(timespec="seconds")
    return tuple(Answer(image, label, path.stem, when, why) for image, label, why in found)


__all__ = ["answers_of"]
