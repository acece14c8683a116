"""Label Studio: tasks with the zero-shot answer as prediction; what people chose comes back as human labels."""

import json
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from zerolabel.annotations import Annotations
from zerolabel.data.classes import Classes, plain
from zerolabel.data.images.urls import is_url
from zerolabel.data.label_tables import is_image
from zerolabel.errors import InputError
from zerolabel.errors.printable import cut, visible
from zerolabel.integrations.addresses import located
from zerolabel.integrations.files import write_text
from zerolabel.integrations.joining import correct
from zerolabel.integrations.sampling import KEYS, drawn_at_random, without_random
from zerolabel.integrations.spreadsheet import candidate_names

FIELD = "label"
"""The name of the choices in the labeling configuration."""
_OWN_KEYS = frozenset(
    (
        "image",
        "file_name",
        "sha256",
        "candidates",
        "id",
        "annotator",
        "annotation_id",
        "created_at",
        "updated_at",
        *KEYS,
    )
)
"""Keys of JSON-MIN that hold no choice: the data of `tasks`, and Label Studio's own."""


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
    """The labeling configuration that the tasks fit."""
    choices = "\n".join(f"    <Choice value={quoteattr(name)}/>" for name in classes)
    return (
        '<View>\n  <Image name="image" value="$image"/>\n  <Text name="thought" value="$candidates"/>\n'
        f'  <Choices name="{FIELD}" toName="image" choice="single">\n{choices}\n  </Choices>\n</View>\n'
    )


def write(annotations: Annotations, path: Path, prefix: str) -> None:
    """Write the tasks, and beside them the labeling configuration as .xml."""
    write_text(path, json.dumps(tasks(annotations, prefix), ensure_ascii=False, indent=1))
    write_text(path.with_suffix(".xml"), configuration(annotations.classes))


def read(annotations: Annotations, path: Path) -> Annotations:
    """Take what people chose, from an export as JSON or JSON-MIN.

    The choices are those of the control ``label``; where there is none, or another alone has the names of classes,
    those of the other. The last answer of each person counts. Images that were skipped, got several classes, or on
    which people disagree stay without a human label; a warning tells how many.

    Raises:
        InputError: it is no such export, several controls or none hold classes, or an image or a class is unknown.
    """
    answers, reasons = _exported(path)
    addresses = list(reasons)
    control = _control(answers, Classes(annotations.classes), path)
    names = dict(zip(addresses, located(addresses, annotations.file_names), strict=True))
    chosen: dict[str, dict[str, set[str]]] = {}
    for answer in sorted(answers, key=lambda answer: answer.when):
        if control in answer.choices or answer.complete:
            chosen.setdefault(names[answer.image], {})[answer.person] = answer.choices.get(control, set())
    together = {name: set().union(*people.values()) for name, people in chosen.items()}
    unclear = [name for name, answers in together.items() if len(answers) > 1]
    if unclear:
        message = f"{len(unclear)} images have several classes or people who disagree, first {unclear[0]}"
        warnings.warn(f"{message}; they get no human label.", stacklevel=2)
    rows = {name: next(iter(answers)) for name, answers in together.items() if len(answers) == 1}
    random = {names[address] for address, why in reasons.items() if drawn_at_random(why)}
    return correct(annotations, without_random(rows.items(), random & rows.keys(), path), path)


def answers_in(path: Path) -> list[tuple[str, str, str, str, str]]:
    """Image, person, time, chosen label and the reason that the task carries, of every answer with one choice.

    Raises:
        InputError: it is not an export of Label Studio.
    """
    answers, reasons = _exported(path)
    found = []
    for answer in sorted(answers, key=lambda answer: answer.when):
        chosen = answer.choices.get(FIELD) or next(iter(answer.choices.values()), set())
        if len(chosen) == 1:
            found.append((answer.image, answer.person, answer.when, next(iter(chosen)), reasons[answer.image]))
    return found


def _exported(path: Path) -> tuple[list["_Answer"], dict[str, str]]:
    """The answers of an export, and why the image of each task was shown, empty where it does not say it.

    Raises:
        InputError: it is not an export of Label Studio.
    """
    try:
        exported = json.loads(path.read_text(encoding="utf-8-sig"))
        if not isinstance(exported, list) or not all(isinstance(task, dict) for task in exported):
            raise TypeError("it is no list of tasks")
        answers = [answer for task in exported for answer in _answers(task)]
        return answers, {_image(task): str(task.get("data", task).get(KEYS[0]) or "") for task in exported}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{path} is not an export of Label Studio ({type(error).__name__}: {cut(str(error), 200)}); "
            "export the tasks as JSON."
        ) from None


@dataclass(frozen=True)
class _Answer:
    """One person's label of an image.

    Attributes:
        image: its address.
        person: who.
        when: sorts the answers of one person.
        choices: what was chosen, by the name of the control.
        complete: whether a control that is not there was left empty, and not only kept out of the file.
    """

    image: str
    person: str
    when: str
    choices: dict[str, set[str]]
    complete: bool


def _answers(task: dict[str, Any]) -> Iterator[_Answer]:
    """The answers in a task; in JSON-MIN it is one itself, with its controls beside the data."""
    image = _image(task)
    if "data" not in task:
        found = {key: _chosen(value) for key, value in task.items() if key not in _OWN_KEYS}
        yield _Answer(image, str(task.get("annotator")), _when(task), {k: v for k, v in found.items() if v}, False)
        return
    for annotation in task.get("annotations") or []:
        if annotation.get("was_cancelled"):
            continue
        person = annotation.get("completed_by")
        choices: dict[str, set[str]] = {}
        for region in annotation["result"]:
            if region.get("type") == "choices":
                chosen = _chosen(region["value"])
                choices.setdefault(str(region.get("from_name") or FIELD), set()).update(chosen)
        who = str(person.get("id") if isinstance(person, dict) else person)
        yield _Answer(image, who, _when(annotation), {k: v for k, v in choices.items() if v}, True)


def _chosen(value: object) -> set[str]:
    """Values of a key of JSON-MIN that may be a choice: a text, several, or ``{"choices": [...]}``."""
    value = value.get("choices") if isinstance(value, dict) else value
    texts = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    return {text for text in texts if text} if all(isinstance(text, str) for text in texts) else set()


def _control(answers: Sequence[_Answer], classes: Classes, path: Path) -> str:
    """The name of the control that holds the classes.

    Raises:
        InputError: several do, or none although something was chosen.
    """
    values: dict[str, set[str]] = {}
    for answer in answers:
        for name, chosen in answer.choices.items():
            values.setdefault(name, set()).update(chosen)
    known = {plain(word) for word in classes.words}
    share = {name: sum(plain(word) in known for word in chosen) / len(chosen) for name, chosen in values.items()}
    fitting = [name for name in values if share[name] == 1] or [name for name in values if share[name] > 0]
    if FIELD in fitting or not values or (FIELD in values and not fitting):
        return FIELD
    if len(fitting) == 1:
        return fitting[0]
    listed = ", ".join(visible(cut(name, 60)) for name in fitting or values)
    if fitting:
        raise InputError(f"{path} has several controls with names of classes ({listed}); call the one to take {FIELD}.")
    raise InputError(f"{path} has no control with names of the classes, but {listed}; call it {FIELD}.")


def _image(task: dict[str, Any]) -> str:
    """The name or address of a task's image."""
    data = task.get("data", task)
    for key in ("file_name", "image"):
        if data.get(key):
            return str(data[key])
    images = [value for key, value in data.items() if isinstance(value, str) and is_image(value)]
    if len(images) != 1:
        raise KeyError("image")
    return images[0]


def _address(prefix: str, name: str) -> str:
    """An address; in the part after the prefix, what has a meaning in addresses is escaped."""
    if is_url(name):
        return name
    return f"{prefix}{'' if not prefix or prefix.endswith(('/', '=')) else '/'}{quote(name) if prefix else name}"


def _choice(label: str) -> dict[str, Any]:
    return {"from_name": FIELD, "to_name": "image", "type": "choices", "value": {"choices": [label]}}


def _when(annotation: dict[str, Any]) -> str:
    return str(annotation.get("updated_at") or annotation.get("created_at") or "")
