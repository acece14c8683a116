"""The files of a run, read once; missing ones are empty."""

import json
import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from zerolabel.annotations import Annotations
from zerolabel.data.images import ImageSet, Unreadable
from zerolabel.data.images.urls import content, joined
from zerolabel.errors import InputError
from zerolabel.files import parquet
from zerolabel.files.skipped import read_skipped
from zerolabel.vlms.names import is_model

STATIC_REVIEW = "review.html"
"""A page in the folder on which the accuracy is measured by hand, without a server."""
_COLUMNS = ("file_name", "set", "zero_shot", "zero_shot_confidence", "student", "student_confidence")


@dataclass(frozen=True)
class Run:
    """The files of a run's folder.

    Attributes:
        folder: where they lie.
        config: what was asked.
        metrics: what was measured; empty for a run that did not finish.
        log: one record per epoch; empty for a learner without training.
        annotations: of the training images; none for a run that was stopped before.
        predictions: a row per image, with the columns of `_COLUMNS`.
        evaluation: counts against true labels; empty where none were given.
        skipped: file name and reason of each image that could not be read.
    """

    folder: Path
    config: dict[str, Any]
    metrics: dict[str, Any]
    log: tuple[dict[str, Any], ...]
    annotations: Annotations | None
    predictions: pd.DataFrame
    evaluation: dict[str, Any]
    skipped: tuple[tuple[str, str], ...]

    @classmethod
    def load(cls, folder: Path) -> "Run":
        """Read a run's folder.

        Raises:
            InputError: it is no run's folder, or a file in it is damaged.
        """
        folder = Path(folder)
        if not (folder / "config.json").is_file():
            raise InputError(
                f"{folder} is not the folder of a run: it holds no config.json; give the folder that -o named."
            )
        annotations = folder / "annotations.parquet"
        return cls(
            folder=folder,
            config=_json(folder / "config.json"),
            metrics=_as_ensemble(_json(folder / "metrics.json")),
            log=_lines(folder / "log.jsonl"),
            annotations=Annotations.load(annotations) if annotations.is_file() else None,
            predictions=_predictions(folder / "predictions.parquet"),
            evaluation=_as_ensemble(_json(folder / "evaluation.json")),
            skipped=read_skipped(folder),
        )

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names."""
        return self.annotations.classes if self.annotations is not None else tuple(self.config.get("classes", ()))

    @property
    def imported(self) -> bool:
        """True if some votes are of a person, another tool or a simulation."""
        return any(not is_model(name) for name in self.config.get("vlm", ()))

    @property
    def before(self) -> str:
        """Name of the untrained ensemble of annotators within a sentence."""
        return "the vote" if self.imported else "zero-shot"

    @property
    def before_title(self) -> str:
        """The ensemble's name as a column head, or before a noun."""
        return "Vote" if self.imported else "Zero-shot"

    @property
    def has_truth(self) -> bool:
        """True if the student was compared with true labels."""
        return self.metrics.get("student_accuracy") is not None

    @property
    def finished(self) -> bool:
        """True if the run is finished."""
        return bool(self.metrics)

    @property
    def static_review(self) -> str | None:
        """Name of the page on which the accuracy can be measured by hand; None where it is known or there is none."""
        known = self.has_truth or self.metrics.get("review")
        return None if known or not (self.folder / STATIC_REVIEW).is_file() else STATIC_REVIEW

    def setting(self, name: str) -> Any:
        """Something that was asked, of the run or of its training; None where it is not known."""
        value = self.config.get(name)
        return value if value is not None else (self.config.get("settings") or {}).get(name)

    @cached_property
    def shown(self) -> pd.DataFrame:
        """The predictions that the report counts: on the test images where there are some, else on all."""
        test = self.predictions[self.predictions["set"] == "test"]
        return test if len(test) else self.predictions

    @property
    def shown_name(self) -> str:
        """Name of the classifier in `shown`."""
        held_out = len(self.shown) and (self.shown["set"] == "test").all()
        return f"{len(self.shown):,} {'held-out' if held_out else 'training'} images"

    def image(self, file_name: str, part: str) -> bytes | None:
        """The content of an image; none where it is there no more.

        Args:
            file_name: as in the predictions.
            part: ``train`` or ``test``.
        """
        source = str((self.config.get("test_images") if part == "test" else None) or self.config.get("images", "."))
        base = source if Path(source).is_dir() else str(Path(source).parent)
        try:
            return content(joined(base, file_name))
        except Unreadable:
            images, places = _opened(source)
        try:
            return images.read_bytes(places[file_name]) if images is not None else None
        except (KeyError, Unreadable):
            return None


@lru_cache(4)
def _opened(source: str) -> tuple[ImageSet | None, dict[str, int]]:
    """The images of a source, and their places by name; none where it is there no more."""
    try:
        images = ImageSet.open(source)
    except InputError:
        return None, {}
    return images, {name: place for place, name in enumerate(images.file_names)}


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is damaged ({error}); run the stage that wrote it again.") from None
    if not isinstance(content, dict):
        raise InputError(f"{path} is damaged (it holds no object); run the stage that wrote it again.")
    return content


def _as_ensemble(data: dict[str, Any]) -> dict[str, Any]:
    """Rename entries of ``votes`` to ``zero_shot``; pages name the ensemble by `Run.before`."""
    names = {"votes_accuracy_per_annotator": "zero_shot_accuracy_per_template"}
    return {names.get(name, re.sub("^votes_", "zero_shot_", name)): value for name, value in data.items()}


def _lines(path: Path) -> tuple[dict[str, Any], ...]:
    """Records of a log; a last line that a killed run left unfinished does not count."""
    if not path.is_file():
        return ()
    records = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            records.append(json.loads(line))
        except ValueError:
            break
    return tuple(record for record in records if isinstance(record, dict))


def _predictions(path: Path) -> pd.DataFrame:
    if not path.is_file():
        return pd.DataFrame(columns=list(_COLUMNS))
    try:
        frame = parquet.read_frame(path)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path} is damaged ({reason}); run `zerolabel evaluate` again.") from None
    frame = frame.rename(columns={"votes": "zero_shot", "votes_confidence": "zero_shot_confidence"})
    missing = [name for name in _COLUMNS if name not in frame.columns]
    if missing:
        raise InputError(f"{path} lacks the column {missing[0]}; run `zerolabel evaluate` again.")
    return frame
