"""What an inspection reads: annotations, the truth beside them, and the text encoder where it is at hand."""

import csv
import os
from pathlib import Path, PurePosixPath

import torch
from jaxtyping import Int
from torch import Tensor

from zerolabel import vlms
from zerolabel.annotate import text_features
from zerolabel.annotations import Annotations
from zerolabel.data.classes import Classes
from zerolabel.data.label_files import Labels
from zerolabel.errors import InputError
from zerolabel.inspection import TextSpace

MOST_CLASSES = 2_000
"""Beyond so many, encoding the names takes minutes on a processor, and their letters are compared instead."""


def open_annotations(path: str | os.PathLike[str]) -> Annotations:
    """Annotations from their file, or from the folder that holds it.

    Raises:
        InputError: there are none, or they are damaged.
    """
    return Annotations.load(_file(Path(path)))


def write_annotations(annotations: Annotations, path: Path, *, overwrite: bool) -> Path:
    """Save annotations to a file that ends in ``.parquet``, or to ``annotations.parquet`` in a folder.

    Returns:
        The file.

    Raises:
        InputError: it is there and may not be replaced, or cannot be written.
    """
    file = place_for(path, overwrite=overwrite)
    annotations.save(file)
    return file


def place_for(path: Path, *, overwrite: bool) -> Path:
    """The file that annotations go to: ``path``, or ``annotations.parquet`` in the folder ``path``.

    Raises:
        InputError: it is there and may not be replaced.
    """
    file = path if path.suffix == ".parquet" and not path.is_dir() else path / "annotations.parquet"
    if file.exists() and not overwrite:
        raise InputError(f"{file} is there already; give --overwrite to replace it, or -o another place.")
    return file


def with_human_labels(annotations: Annotations, source: str, path: str | os.PathLike[str]) -> Annotations:
    """The annotations with what a person said in ``source``, which overrules what a person said before.

    Args:
        annotations: of N images.
        source: a CSV or parquet of ``file_name,label``, where an empty label says nothing; or a folder per class.
        path: of the annotations; ``skipped.csv`` beside it lists images that were left out.

    Raises:
        InputError: it cannot be read, or names an unknown image or class.
    """
    labels = Labels.read(source, Classes(annotations.classes))
    given = labels.match(annotations.file_names, annotations.sha256, _skipped(_file(Path(path))))
    return annotations.with_labels(given.where(given >= 0, annotations.labels))


def read_truth(source: str, annotations: Annotations, path: str | os.PathLike[str]) -> Int[Tensor, " N"]:
    """True class ids, -1 where nothing is known; for evaluation alone.

    Args:
        source: a CSV or parquet of ``file_name,label``, or a folder of images per class. It may name more images than
            were annotated.
        annotations: of N images.
        path: of the annotations; ``skipped.csv`` beside it lists images that were left out.

    Raises:
        InputError: it cannot be read, or gives the class of no annotated image.
    """
    labels = Labels.read(source, Classes(annotations.classes))
    bases = {PurePosixPath(name).name for name in annotations.file_names}
    elsewhere = {name for name, _ in labels.rows if PurePosixPath(name).name not in bases}
    found = labels.match(annotations.file_names, annotations.sha256, elsewhere | _skipped(_file(Path(path))))
    if not bool((found >= 0).any()):
        raise InputError(f"the labels {source} give the class of no image in {path}; give those of its images.")
    return found


def text_space(annotations: Annotations) -> TextSpace | None:
    """The class names in the text space of the first annotator's model; None where that is not on this machine."""
    model = annotations.annotators[0].model if annotations.annotators else ""
    if len(annotations.classes) > MOST_CLASSES or not _at_hand(model):
        return None
    encoder = vlms.load(model)
    templates = [annotator.template for annotator in annotations.annotators if annotator.model == model]
    texts = text_features(encoder, Classes(annotations.classes), templates).mean(0)
    return TextSpace(model, torch.nn.functional.normalize(texts, dim=-1), encoder.logit_scale)


def _at_hand(model: str) -> bool:
    """Whether it has a text encoder on this machine; a model that answers in words has none."""
    return model == "glyphs" or (model.startswith(("open_clip:", "hf-hub:")) and vlms.at_hand(model))


def _file(path: Path) -> Path:
    return path / "annotations.parquet" if path.is_dir() else path


def _skipped(annotations: Path) -> set[str]:
    path = annotations.with_name("skipped.csv")
    if not path.is_file():
        return set()
    with path.open(newline="", encoding="utf-8") as lines:
        return {row["file_name"] for row in csv.DictReader(lines) if row.get("file_name")}
