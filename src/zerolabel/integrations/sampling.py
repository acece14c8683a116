"""The sampling design of a review in files of other tools: why each image was shown, and its chance to be drawn.

A label of an image that was drawn at random measures, and is left out where human labels are read for training. The
export hides what models say of such an image, so that nothing suggests an answer. Labels of a team come back as answers
of a review by `zerolabel.integrations.team_answers`.
"""

import json
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zerolabel.data.answers import RANDOM
from zerolabel.integrations.files import read_table, write_table, write_text

WHY, CHANCE = "why shown", "inclusion probability"
"""Heads of the columns of a table."""
KEYS = ("why_shown", "inclusion_probability")
"""The same as keys of JSON."""
FIFTYONE_FIELD = "why_shown.json"
"""Label file of FiftyOne that carries the design."""


@dataclass(frozen=True)
class Drawn:
    """The draw of an image.

    Attributes:
        why: as in the answers of a review.
        chance: probability with which it was drawn.
    """

    why: str
    chance: float


Design = Mapping[str, Drawn]
"""Drawn images by their names, in the order in which they are asked about."""


def carry(kind: str, path: Path, design: Design) -> bool:
    """Put a design into a file that was exported.

    Returns:
        False where the kind has no place for it.
    """
    writers: dict[str, Callable[[Path, Design], None]] = {
        "label-studio": _into_tasks,
        "fiftyone": _into_fields,
        "csv": _into_table,
    }
    if kind not in writers:
        return False
    writers[kind](path, design)
    return True


def _into_tasks(path: Path, design: Design) -> None:
    """Drawn images first, without a prediction or candidates."""
    tasks: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    for task in tasks:
        one = design.get(task["data"]["file_name"])
        if one is not None:
            task["data"] |= {KEYS[0]: one.why, KEYS[1]: one.chance, "candidates": ""}
            task.pop("predictions", None)
    places = {name: place for place, name in enumerate(design)}
    tasks.sort(key=lambda task: places.get(task["data"]["file_name"], len(places)))
    write_text(path, json.dumps(tasks, ensure_ascii=False, indent=1))


def _into_fields(path: Path, design: Design) -> None:
    """A label file whose label says why an image was shown; what models say of it is taken out of the others."""
    labels: dict[str, Any] = {}
    for name in ("candidates", "zero_shot"):
        file = path / f"{name}.json"
        content = json.loads(file.read_text(encoding="utf-8"))
        for image, one in _matched(content["labels"], design).items():
            labels[image] = {"label": one.why, "attributes": {KEYS[1]: one.chance}}
            del content["labels"][image]
        write_text(file, json.dumps(content, ensure_ascii=False, indent=1))
    classes = sorted({one.why for one in design.values()})
    made = {"classes": classes, "labels": labels}
    write_text(path / FIFTYONE_FIELD, json.dumps(made, ensure_ascii=False, indent=1))


def _into_table(path: Path, design: Design) -> None:
    """Two columns more; nothing stands in the others where an image was drawn at random."""
    table = read_table(path, ("file_name",))
    drawn = [design.get(name) for name in table["file_name"]]
    hidden = [one is not None for one in drawn]
    for column in table.columns:
        if column not in ("file_name", "label"):
            table.loc[hidden, column] = ""
    table[WHY] = ["" if one is None else one.why for one in drawn]
    table[CHANCE] = ["" if one is None else f"{one.chance:.6g}" for one in drawn]
    write_table(path, table)


def _matched(labels: Mapping[str, Any], design: Design) -> dict[str, Drawn]:
    """Drawn images by the keys that FiftyOne knows them by: paths, or names without extension."""
    by_stem = {str(Path(name).with_suffix("")): one for name, one in design.items()}
    return {
        key: found
        for key in labels
        if (found := by_stem.get(key) or next((one for name, one in design.items() if key.endswith(f"/{name}")), None))
    }


def without_random(rows: Iterable[tuple[str, str]], random: Iterable[str], path: Path) -> list[tuple[str, str]]:
    """Labels without those of images that were drawn at random; a warning counts them.

    Args:
        rows: name of an image and its label.
        random: names of images that were drawn at random.
        path: the file, for the warning.
    """
    left_out = set(random)
    given = list(rows)
    gone = {name for name, label in given if label and name in left_out}
    if gone:
        warnings.warn(
            f"{path}: {len(gone)} images were drawn at random to measure with and get no human label; zerolabel review "
            f"RUN --import {path} measures with them.",
            stacklevel=3,
        )
    return [(name, label) for name, label in given if name not in left_out]


def drawn_at_random(why: object) -> bool:
    """True for a reason of images that were drawn at random."""
    return isinstance(why, str) and why.startswith(RANDOM)


__all__ = ["CHANCE", "KEYS", "WHY", "Design", "Drawn", "carry", "drawn_at_random", "without_random"]
