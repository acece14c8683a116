"""FiftyOne: a folder of label files that its `FiftyOneImageClassificationDataset` imports, one per field."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from zerolabel.annotations import Annotations
from zerolabel.data.images.urls import joined
from zerolabel.errors import InputError
from zerolabel.integrations.files import write_text
from zerolabel.integrations.joining import correct
from zerolabel.integrations.sampling import FIFTYONE_FIELD, drawn_at_random, without_random

FIELDS = ("candidates", "zero_shot", "human")


def fields(annotations: Annotations, prefix: str = "") -> dict[str, dict[str, Any]]:
    """Content of each label file: the classes, and one or several classifications per image.

    Args:
        annotations: of the images.
        prefix: the folder of the images; without it FiftyOne finds them below its ``data_path`` by their names
            without extension.
    """
    names, p = annotations.classes, annotations.scores
    images = [_image(name, prefix) for name in annotations.file_names]

    def classification(row: int, c: int) -> dict[str, Any]:
        return {"label": names[c], "confidence": float(p[row, c])}

    labels: dict[str, dict[str, Any]] = {field: {} for field in FIELDS}
    for row, image in enumerate(images):
        ids = annotations.candidates[row].nonzero().squeeze(1).tolist()
        labels["candidates"][image] = [classification(row, c) for c in sorted(ids, key=lambda c: -float(p[row, c]))]
        if bool(p[row].any()):
            labels["zero_shot"][image] = classification(row, int(p[row].argmax()))
        if int(annotations.labels[row]) >= 0:
            labels["human"][image] = names[int(annotations.labels[row])]
    return {field: {"classes": list(names), "labels": found} for field, found in labels.items()}


def write(annotations: Annotations, path: Path, prefix: str) -> None:
    """Write ``candidates.json``, ``zero_shot.json`` and ``human.json`` into a folder."""
    for field, content in fields(annotations, prefix).items():
        write_text(path / f"{field}.json", json.dumps(content, ensure_ascii=False, indent=1))


def read(annotations: Annotations, path: Path) -> Annotations:
    """Take single labels, as FiftyOne exports a field that a person corrected, as said by a person.

    Args:
        annotations: of the images.
        path: a label file, or the folder that holds ``labels.json`` or ``human.json``.

    Raises:
        InputError: it is no such file, an image has several labels, or an image or a class is unknown.
    """
    known = _names(annotations.file_names)
    rows, file = _labels(path, known)
    reasons = _reasons(file.parent, known)
    random = {name for name, why in reasons.items() if drawn_at_random(why)}
    return correct(annotations, without_random(rows, random, file), file)


def answers_in(path: Path, names: Sequence[str]) -> tuple[list[tuple[str, str, str]], Path]:
    """Image, label and the reason why it was shown, of every human label; and the file that holds the labels.

    Args:
        path: the folder that holds ``labels.json`` or ``human.json``, and the sampling design.
        names: of the images.

    Raises:
        InputError: see `read`.
    """
    known = _names(names)
    rows, file = _labels(path, known)
    reasons = _reasons(file.parent, known)
    return [(name, label, reasons.get(name, "")) for name, label in rows if label], file


def _labels(path: Path, known: Mapping[str, str]) -> tuple[list[tuple[str, str]], Path]:
    """File name and label of every image labeled by a human, and the file that says so."""
    file = next((path / name for name in ("labels.json", "human.json") if (path / name).is_file()), path)
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        classes, labels = content.get("classes") or [], dict(content["labels"])
        if not isinstance(classes, list):
            raise TypeError("its classes are no list")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{file} is no label file of FiftyOne ({error}); export a field of labels.") from None
    rows = []
    for image, target in labels.items():
        if isinstance(target, list):
            raise InputError(f"{file} gives {image} a list of labels; export a field that holds one label per image.")
        label = target.get("label", "") if isinstance(target, dict) else target
        if classes and isinstance(label, int):
            if isinstance(label, bool) or not 0 <= label < len(classes):
                raise InputError(
                    f"{file} gives {image} the class {label}, which is none of its {len(classes)}; fix it."
                )
            label = classes[label]
        rows.append((_known(image, known), "" if label is None else str(label)))
    return rows, file


def _reasons(folder: Path, known: Mapping[str, str]) -> dict[str, str]:
    """Why images were shown, where the folder carries a sampling design.

    Raises:
        InputError: the file of the design is damaged.
    """
    file = folder / FIFTYONE_FIELD
    if not file.is_file():
        return {}
    try:
        labels = json.loads(file.read_text(encoding="utf-8"))["labels"]
        return {_known(image, known): str(one["label"]) for image, one in labels.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{file} is damaged ({error}); export the labels again.") from None


def _names(file_names: Sequence[str]) -> dict[str, str]:
    """The names of images by themselves and without extension."""
    return {_image(name, ""): name for name in file_names} | {name: name for name in file_names}


def _image(name: str, prefix: str) -> str:
    """Key of an image in FiftyOne: its path, or its name without extension below a data path."""
    return os.path.abspath(joined(prefix, name)) if prefix else str(PurePosixPath(name).with_suffix(""))


def _known(image: str, known: Mapping[str, str]) -> str:
    """The file name whose path, with or without its extension, is the longest end of what FiftyOne calls an image."""
    parts = PurePosixPath(image.replace("\\", "/")).parts
    ends = ["/".join(parts[start:]) for start in range(len(parts))]
    return next((known[end] for end in ends if end in known), image)
