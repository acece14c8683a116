"""Label Studio: tasks with the zero-shot answer as prediction; what people chose comes back as human labels."""

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from zerolabel.annotations import Annotations
from zerolabel.data.images.urls import is_url
from zerolabel.errors import InputError
from zerolabel.integrations.files import write_text
from zerolabel.integrations.joining import correct
from zerolabel.integrations.spreadsheet import candidate_names

FIELD = "label"
"""The name of the choices in the labelling configuration."""


def tasks(annotations: Annotations, prefix: str = "") -> list[dict[str, Any]]:
    """A task per image, the least certain ones first, as a list that Label Studio imports.

    Args:
        annotations: of the images.
        prefix: what goes before a file name to make the address under which Label Studio finds the image.
    """
    best = annotations.scores.max(1)
    candidates = candidate_names(annotations)
    listed = []
    for row in best.values.argsort(stable=True).tolist():
        name, human = annotations.file_names[row], int(annotations.labels[row])
        task: dict[str, Any] = {
            "data": {
                "image": _address(prefix, name),
                "file_name": name,
                "sha256": annotations.sha256[row],
                "candidates": candidates[row],
            }
        }
        if float(best.values[row]) > 0:
            chosen = _choice(annotations.classes[int(best.indices[row])])
            score = round(float(best.values[row]), 6)
            task["predictions"] = [
                {"model_version": "zerolabel", "score": score, "result": [chosen | {"score": score}]}
            ]
        if human >= 0:
            task["annotations"] = [{"result": [_choice(annotations.classes[human])]}]
        listed.append(task)
    return listed


def configuration(classes: tuple[str, ...]) -> str:
    """The labelling configuration that the tasks fit."""
    choices = "\n".join(f"    <Choice value={quoteattr(name)}/>" for name in classes)
    return (
        '<View>\n  <Image name="image" value="$image"/>\n  <Text name="thought" value="$candidates"/>\n'
        f'  <Choices name="{FIELD}" toName="image" choice="single">\n{choices}\n  </Choices>\n</View>\n'
    )


def write(annotations: Annotations, path: Path, prefix: str) -> None:
    """Write the tasks, and beside them the labelling configuration as .xml."""
    write_text(path, json.dumps(tasks(annotations, prefix), ensure_ascii=False, indent=1))
    write_text(path.with_suffix(".xml"), configuration(annotations.classes))


def read(annotations: Annotations, path: Path) -> Annotations:
    """Take what people chose, from an export as JSON or JSON-MIN.

    The last answer of each person counts. Images that were skipped, got several classes, or on which people disagree
    stay without a human label; a warning tells how many.

    Raises:
        InputError: it is no such export, or an image or a class is unknown.
    """
    try:
        exported = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(exported, list) or not all(isinstance(task, dict) for task in exported):
            raise TypeError("it is no list of tasks")
        chosen = [(_name(task), _answers(task)) for task in exported]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} is no export of Label Studio ({type(error).__name__}: {error}); export the tasks as JSON."
        ) from None
    unclear = [name for name, answers in chosen if len(answers) > 1]
    if unclear:
        told = f"{len(unclear)} images have several classes or people who disagree, first {unclear[0]}"
        warnings.warn(f"{told}; they get no human label.", stacklevel=2)
    rows = {name: next(iter(answers)) for name, answers in chosen if len(answers) == 1}
    return correct(annotations, rows.items(), path)


def _address(prefix: str, name: str) -> str:
    """An address; in the part after the prefix, what has a meaning in addresses is escaped."""
    if is_url(name):
        return name
    return f"{prefix}{'' if not prefix or prefix.endswith(('/', '=')) else '/'}{quote(name) if prefix else name}"


def _choice(label: str) -> dict[str, Any]:
    return {"from_name": FIELD, "to_name": "image", "type": "choices", "value": {"choices": [label]}}


def _name(task: dict[str, Any]) -> str:
    data = task.get("data", task)
    return str(data.get("file_name") or data["image"])


def _answers(task: dict[str, Any]) -> set[str]:
    """The different classes that people gave one image."""
    if "data" not in task:  # JSON-MIN
        given = task.get(FIELD) or []
        return set(given["choices"] if isinstance(given, dict) else [given] if isinstance(given, str) else given)
    latest = {}
    for annotation in sorted(task.get("annotations") or [], key=_when):
        if not annotation.get("was_cancelled"):
            person = annotation.get("completed_by")
            latest[str(person.get("id") if isinstance(person, dict) else person)] = set(_choices(annotation["result"]))
    return set().union(*latest.values())


def _when(annotation: dict[str, Any]) -> str:
    return str(annotation.get("updated_at") or annotation.get("created_at") or "")


def _choices(result: list[dict[str, Any]]) -> Iterator[str]:
    for region in result:
        if region.get("type") == "choices":
            yield from region["value"]["choices"]
