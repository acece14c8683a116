"""Hashes of a run's inputs, so that a run is not resumed on changed images or labels."""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa

from zerolabel.annotations import Annotations
from zerolabel.annotations.digest import Digest, content_hash, differing, of_annotations, of_data, of_images
from zerolabel.annotations.files import open_annotations
from zerolabel.annotations.image_check import unchanged
from zerolabel.data.classes import Classes
from zerolabel.data.images import ImageSet, sha256
from zerolabel.data.label_files import Labels
from zerolabel.diagnostics import open_set
from zerolabel.errors import InputError
from zerolabel.files import parquet
from zerolabel.runs.config import AnnotationConfig, Config, DataConfig
from zerolabel.runs.folder import INPUTS, Folder

AT_A_TIME = 16_384
"""Rows of a file of annotations that memory holds."""


def inputs(data: DataConfig, annotation: AnnotationConfig, known: Iterable[tuple[str, str]] = ()) -> Digest:
    """Hashes of everything outside its folder that a run learns from.

    Held-out images and true labels are not among it: what is made of them is made again whenever a run continues.

    Args:
        data: images and labels of the run.
        annotation: annotations that the run reads.
        known: names and content hashes of images that were read already, in the order of the images.
    """
    known = () if annotation.append is not None or annotation.annotations is not None else known
    found = {f"images {name}": value for name, value in of_images(ImageSet.open(data.images), known).items()}
    if data.few_shot is not None:
        found["--few-shot labels"] = of_labels(data.few_shot)
    for name, path in (("annotations", annotation.annotations), ("--append annotations", annotation.append)):
        if path is not None:
            found[name] = of_data(of_annotations(open_annotations(path)))
    return found


def of_labels(path: str) -> str:
    """Hash of a file of labels, or of the names in a folder of images per class, and their contents."""
    place = Path(path)
    return of_data(of_images(ImageSet.open(path))) if place.is_dir() else sha256(place.read_bytes())


def record(
    folder: Folder, data: DataConfig, annotation: AnnotationConfig, known: Iterable[tuple[str, str]] = ()
) -> None:
    """Record the hashes of the inputs in the folder, once."""
    if folder.made_of() is None:
        folder.finish(INPUTS, inputs(data, annotation, known))


def training_data(config: Config, annotations: Annotations, encoder: str) -> Digest:
    """Hashes of what a training of the run is made of: annotations, features and options.

    Args:
        config: of the run.
        annotations: of its images, as annotators and humans gave them.
        encoder: revision of the model whose features are read; empty where none is.
    """
    options = {name: value for name, value in asdict(config.training).items() if name != "settings"}
    options |= {"rule": config.annotation.rule, "adapt": config.annotation.adapt}
    options |= {"allow_changed": config.annotation.allow_changed, "open_set": config.data.open_set}
    return {**of_annotations(annotations), "model": encoder, "options": of_data(options)}


def check_unchanged(folder: Folder, data: DataConfig, annotation: AnnotationConfig) -> None:
    """Check that a run to resume reads the same inputs as before; writes nothing.

    Raises:
        InputError: its images, labels or annotations have changed since.
    """
    then = folder.made_of()
    if then is None:
        return
    changed = differing(then, inputs(data, annotation))
    if not changed:
        return
    what = dict.fromkeys(name.partition(" file")[0].partition(" images")[0] for name in changed)
    changes = [
        f"images in {data.images} ({_count(folder, data.images)})" if name == "images" else name for name in what
    ]
    raise InputError(
        f"the {' and the '.join(changes)} have changed since the run in {folder.path} began; put back what it was made "
        "of, or give --overwrite to start again, or -o another folder."
    )


def check_annotated(data: DataConfig, annotation: AnnotationConfig) -> None:
    """Check that annotations match the images, before a run on them replaces an existing one.

    Raises:
        InputError: they are not.
    """
    if annotation.annotations is not None:
        annotations, images = open_annotations(annotation.annotations), ImageSet.open(data.images)
        unchanged(annotations, images, annotation.annotations, allow_changed=annotation.allow_changed)


def check_labels(data: DataConfig, append: str | None) -> None:
    """Read label files before anything is written; human labels must name images, the truth may name others.

    Raises:
        InputError: a file cannot be read, or human labels name images that are not there.
    """
    if data.truth is not None:
        unknown = (open_set.NAME,) if data.open_set else ()
        Labels.read(data.truth, Classes((*data.classes, *unknown), (*data.aliases, *((),) * len(unknown))))
    if data.few_shot is None:
        return
    images = ImageSet.open(data.images)
    more = () if append is None else open_annotations(append).file_names
    names = [*images.file_names, *more]
    labels = Labels.read(data.few_shot, data.names, use="train")
    try:
        labels.match(names, [""] * len(names))
    except InputError:  # by their contents, which takes reading all images
        hashes = [content_hash(images, i) for i in range(len(images))]
        labels.match(names, hashes + [""] * len(more))


def _count(folder: Folder, place: str) -> str:
    """Number of added, removed and changed images, compared with the annotations in the folder."""
    before = dict(contents(folder / "annotations.parquet"))
    images = ImageSet.open(place)
    now = {name: content_hash(images, i) for i, name in enumerate(images.file_names)}
    added, gone = len(now.keys() - before.keys()), len(before.keys() - now.keys())
    other = sum(before[name] != now[name] for name in before.keys() & now.keys())
    return f"{added} new, {gone} gone, {other} with other content"


def contents(path: str | os.PathLike[str]) -> Iterator[tuple[str, str]]:
    """Names and content hashes in a file of annotations, row by row; none where it is not there or damaged."""
    with suppress(OSError, pa.ArrowException):
        for some in parquet.batches(path, AT_A_TIME, ["file_name", "sha256"]):
            yield from zip(some["file_name"].to_pylist(), some["sha256"].to_pylist(), strict=True)


__all__ = ["check_annotated", "check_labels", "check_unchanged", "contents", "inputs", "record", "training_data"]
