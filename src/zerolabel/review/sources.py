"""Sources of images and predictions: a run, annotations, a comparison, or a table."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from jaxtyping import Float, Int
from safetensors import SafetensorError
from safetensors.numpy import load_file

from zerolabel.annotations import Annotations
from zerolabel.annotations.files import open_annotations
from zerolabel.data.classes import load_classes
from zerolabel.data.images import ImageSet
from zerolabel.errors import InputError
from zerolabel.files import parquet
from zerolabel.files.delimited import FILE_COLUMNS, LABEL_COLUMNS, body, decoded, find_column, rows
from zerolabel.report.run import Run
from zerolabel.review.pool import Pool, Subject
from zerolabel.review.sampling import strata_of

PREDICTED = ("predicted", "prediction", "student")
"""Heads of a column of predictions, beside those of labels."""
_COLUMNS = {"student": "student", "zero-shot": "zero_shot"}
"""Columns of the predictions of a run by the names of its two classifiers."""


def open_subject(path: Path, images: str | None = None, classes: str | None = None, row: str | None = None) -> Subject:
    """Find out what a path holds.

    Args:
        path: folder of a run, of annotations or of a comparison; ``annotations.parquet``; or a CSV or parquet of
            predictions, ``file_name,label`` and ``confidence`` where it is known.
        images: folder or list of the images; none where the path tells.
        classes: file of class names, for a table that does not hold them all.
        row: which learner of a comparison; by default the choice among all of them.

    Raises:
        InputError: it is none of these, or its images are not there.
    """
    if path.is_dir() and (path / "comparison.json").is_file():
        return _of_comparison(path, images, row)
    if path.is_dir() and (path / "predictions.parquet").is_file():
        return _of_run(path, images)
    if (path / "annotations.parquet").is_file():
        return _of_annotations(path / "annotations.parquet", path / "config.json", images)
    if path.is_dir():
        raise InputError(f"{path} holds no run, annotations or comparison; give the folder that -o named.")
    if not path.is_file():
        raise InputError(f"there is no {path}; give a run, annotations, a comparison or a table of predictions.")
    if path.suffix == ".parquet" and _is_annotations(path):
        return _of_annotations(path, path.with_name("config.json"), images)
    return _of_table(path, images, classes)


def asked(config: Mapping[str, Any], name: str) -> Any:
    """An entry of a run's ``config.json``; none where it is not there."""
    return config.get(name)


def _of_run(folder: Path, images: str | None) -> Subject:
    run = Run.load(folder)
    answer = "zero_shot" if run.metrics.get("deployed") == "zero-shot" else "student"
    pools = {}
    for part, key in (("train", "images"), ("test", "test_images")):
        frame = run.predictions[run.predictions["set"] == part]
        if not len(frame):
            continue
        words = f"{'held-out' if part == 'test' else 'training'} images"
        override = images is not None and (part == "test" or not bool((run.predictions["set"] == "test").any()))
        pools[part] = _rows(run, frame, answer, str(images if override else asked(run.config, key)), words)
    title = f"{len(run.classes):,} classes by {folder.resolve().name}"
    measured, learned = pools.get("test", pools.get("train")), pools.get("train", pools.get("test"))
    if measured is None or learned is None:
        raise InputError(f"{folder / 'predictions.parquet'} holds no image; run it again with --resume.")
    return Subject(folder, folder / "review", title, run.classes, measured, learned, folder)


def _rows(run: Run, frame: pd.DataFrame, answer: str, source: str, words: str) -> Pool:
    names = [str(name) for name in frame["file_name"]]
    candidates, taught, scores, labels = None, np.zeros(len(names), bool), None, None
    if run.annotations is not None and run.annotations.file_names == tuple(names):
        candidates, taught = run.annotations.candidates.numpy(), run.annotations.human.numpy()
        scores, labels = run.annotations.scores.numpy(), run.annotations.labels.numpy()
    by_name = {name: _ids(frame[column], run.classes) for name, column in _COLUMNS.items()}
    own, other = ("student", "zero-shot") if answer == "student" else ("zero-shot", "student")
    made = Pool(
        words,
        _images(source, names),
        by_name["student"],
        frame["student_confidence"].to_numpy(float),
        by_name["zero-shot"],
        candidates,
        taught,
        (own, other),
        scores,
        labels=labels,
    )
    confidence = frame[f"{answer}_confidence"].to_numpy(float)
    strata = strata_of(made)
    return replace(made, strata=strata, predicted=by_name[own], compared=by_name[other], confidence=confidence)


def _of_annotations(path: Path, config: Path, images: str | None) -> Subject:
    annotations = open_annotations(path)
    source = images if images is not None else asked(_json(config), "images")
    if source is None:
        raise InputError(f"{path} does not say where its images are; give --images FOLDER.")
    pool = _annotated(annotations, str(source), annotations.scores.numpy(), "annotated images")
    title = f"{len(annotations.classes):,} classes by the prompts of {path.name}"
    place = path.parent / "review" if path.name == "annotations.parquet" else _beside(path)
    return Subject(path, place, title, annotations.classes, pool, pool, None)


def _annotated(
    annotations: Annotations, source: str, p: Float[np.ndarray, "N C"], words: str, name: str | None = None
) -> Pool:
    """Annotated images with the answers of a learner of some name, else of the annotators themselves."""
    scores = annotations.scores.numpy()
    predicted, zero_shot = (np.where(one.any(1), one.argmax(1), -1) for one in (p, scores))
    return Pool(
        words,
        _images(source, list(annotations.file_names)),
        predicted,
        p.max(1, initial=0.0).astype(float),
        None if name is None else zero_shot,
        annotations.candidates.numpy(),
        annotations.human.numpy(),
        (name or "annotators", "annotators"),
        p,
        labels=annotations.labels.numpy(),
    )


def _of_comparison(folder: Path, images: str | None, row: str | None) -> Subject:
    """One learner of a comparison, or the choice among all of them where none is named."""
    record = _json(folder / "comparison.json")
    learners: dict[str, Any] = record.get("learners") or {}
    name = row if row is not None else next(iter(learners), "")
    if name not in learners:
        raise InputError(f"{folder} compares no {name!r}; give --method one of {', '.join(learners)}.")
    kept, config = folder / "annotations.parquet", learners[name]
    annotations = open_annotations(kept if kept.is_file() else str(asked(config, "annotations")))
    compared = {one: _probabilities(folder, one) for one in (learners if row is None else (name,))}
    p = compared[name]
    held_out = "test" in p and record.get("test") is not None
    own = str(images if images is not None and not held_out else asked(config, "images"))
    learned = _annotated(annotations, own, p["train"], "training images", name)
    measured = learned
    if held_out:
        found = ImageSet.open(images if images is not None else str(record["test"]))
        q, n = p["test"], len(found)
        if len(q) != n:
            raise InputError(f"{found.root} holds {n} images and {len(q)} were compared; put them back as they were.")
        nothing = np.zeros(n, bool)
        measured = Pool("held-out images", found, q.argmax(1), q.max(1).astype(float), None, None, nothing)
    counted, place = f"{len(annotations.classes):,} classes", folder.resolve().name
    if len(compared) == 1:
        own_place, title = folder / "review" / name.replace(":", "-"), f"{counted} by {name} of {place}"
        return Subject(folder, own_place, title, annotations.classes, measured, learned, None)
    rivals = {one: p["test" if held_out else "train"] for one, p in compared.items()}
    if not held_out:
        rivals["annotators"] = annotations.scores.numpy()
    title = f"{counted}, {len(compared)} learners of {place}"
    return Subject(folder, folder / "review", title, annotations.classes, measured, learned, None, rivals)


def _probabilities(folder: Path, learner: str) -> dict[str, Float[np.ndarray, "N C"]]:
    """Probabilities that the first run of a learner predicts.

    Raises:
        InputError: it is not finished.
    """
    try:
        return dict(load_file(folder / "runs" / f"{learner.replace(':', '-')}-0" / "probabilities.safetensors"))
    except (OSError, SafetensorError):
        raise InputError(
            f"the run of {learner} in {folder} is not finished; give the same compare command again."
        ) from None


def _of_table(path: Path, images: str | None, classes: str | None) -> Subject:
    table = read_predictions(path)
    known = tuple(dict.fromkeys(label for label in table["label"] if label))
    names = load_classes(classes).names if classes is not None else tuple(sorted(known))
    if len(names) < 2:
        raise InputError(f"{path} predicts fewer than two classes; give --classes with all their names.")
    answered = table[table["label"] != ""]
    source = images if images is not None else str(path.parent)
    n = len(answered)
    pool = Pool(
        "images",
        _images(source, list(answered["file_name"])),
        _ids(answered["label"], names),
        answered["confidence"].to_numpy(float),
        None,
        None,
        np.zeros(n, bool),
    )
    return Subject(path, _beside(path), f"{len(names):,} classes of {path.name}", names, pool, pool, None)


def read_predictions(path: Path) -> pd.DataFrame:
    """``file_name``, ``label`` and ``confidence`` of a CSV or parquet; confidence 0 where there is none.

    Raises:
        InputError: it cannot be read, lacks a column, or names an image twice.
    """
    try:
        if path.suffix.lower() == ".parquet":
            frame = parquet.read_frame(path)
            table = [[str(name) for name in frame.columns], *frame.fillna("").astype(str).to_numpy().tolist()]
        else:
            table = rows(decoded(path.read_bytes()), path.suffix.lower())
        heads = table[0] if table else []
        file, label = find_column(heads, FILE_COLUMNS), find_column(heads, (*LABEL_COLUMNS, *PREDICTED))
        if file is None or label is None:
            raise ValueError(f"it has no column {'file_name' if file is None else 'label'}")
        sure = find_column(heads, ("confidence", "score", "probability", "student_confidence"))
        lines = body(table, 1, len(heads), (file, label))
        names = [line[file].strip() for line in lines]
        if len(set(names)) < len(names):
            raise ValueError("it names an image twice")
        confidence = [0.0 if sure is None else float(line[sure] or 0) for line in lines]
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"the predictions {path} cannot be read ({reason}); give file_name,label.") from None
    return pd.DataFrame(
        {"file_name": names, "label": [line[label].strip() for line in lines], "confidence": confidence}
    )


def _images(source: str, names: list[str]) -> ImageSet:
    """The images of these names: nothing that is not in the source can be shown.

    Raises:
        InputError: the source is gone, or lacks one of them.
    """
    try:
        images = ImageSet.open(source).named(names)
    except InputError as error:
        raise InputError(f"{error} If they lie elsewhere now, give --images.") from None
    if images.embeddings is not None:
        raise InputError(f"{source} has embeddings, and a person looks at images; give --images, the folder of these.")
    return images


def _ids(names: pd.Series, classes: tuple[str, ...]) -> Int[np.ndarray, " N"]:
    """Class ids; -1 for what is no class."""
    places = {name: place for place, name in enumerate(classes)}
    return np.array([places.get(name, -1) for name in names], int)


def _beside(path: Path) -> Path:
    """Folder of the answers for a single file."""
    return path.with_name(f"{path.stem}.review")


def _is_annotations(path: Path) -> bool:
    try:
        return b"zerolabel" in (parquet.schema(path).metadata or {})
    except (OSError, pa.ArrowException):
        return False


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError:
        raise InputError(f"{path} is damaged; run the command that wrote it again.") from None
    return content if isinstance(content, dict) else {}
