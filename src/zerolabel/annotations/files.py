"""Annotations on disk as commands find, check and write them."""

import os
from pathlib import Path

from jaxtyping import Int
from torch import Tensor

from zerolabel.annotations.annotations import Annotations
from zerolabel.data.classes import Classes
from zerolabel.data.label_files import Labels
from zerolabel.errors import InputError
from zerolabel.files.skipped import read_skipped


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
        raise InputError(f"{file} exists; give --overwrite to replace it, or -o another place.")
    return file


def with_human_labels(annotations: Annotations, source: str, path: str | os.PathLike[str]) -> Annotations:
    """The annotations with the human labels of ``source``, which overrule earlier ones.

    Args:
        annotations: of N images.
        source: a CSV or parquet of ``file_name,label``, where an empty label says nothing; or a folder per class.
        path: of the annotations; ``skipped.csv`` beside it lists images that were left out.

    Raises:
        InputError: it cannot be read, or names an unknown image or class.
    """
    labels = Labels.read(source, Classes(annotations.classes), use="train")
    given = labels.match(
        annotations.file_names, annotations.sha256, {name for name, _ in read_skipped(_file(Path(path)).parent)}
    )
    return annotations.with_labels(given.where(given >= 0, annotations.labels))


def read_truth(source: str, annotations: Annotations, path: str | os.PathLike[str]) -> Int[Tensor, " N"]:
    """True class ids, -1 where nothing is known; for evaluation only.

    Args:
        source: a CSV or parquet of ``file_name,label``, or a folder of images per class. It may name more images than
            were annotated.
        annotations: of N images.
        path: of the annotations; ``skipped.csv`` beside it lists images that were left out.

    Raises:
        InputError: it cannot be read, or gives the class of no annotated image.
    """
    labels = Labels.read(source, Classes(annotations.classes))
    skipped = {name for name, _ in read_skipped(_file(Path(path)).parent)}
    found = labels.match(annotations.file_names, annotations.sha256, skipped, subset=True)
    if not bool((found >= 0).any()):
        raise InputError(f"the labels {source} give the class of no image in {path}; give those of its images.")
    return found


def _file(path: Path) -> Path:
    return path / "annotations.parquet" if path.is_dir() else path
