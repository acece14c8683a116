"""Snorkel's label matrix: a row per image, a column per annotator, class ids, -1 where one abstains."""

import json
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int

from zerolabel.annotations import Annotations
from zerolabel.errors import InputError
from zerolabel.integrations.files import read_matrix, write_matrix, write_text
from zerolabel.integrations.joining import add_votes, annotator_named, unique_names


def label_matrix(annotations: Annotations) -> Int[np.ndarray, "N A"]:
    """The matrix L that ``snorkel.labeling.model.LabelModel`` is fitted on."""
    matrix: np.ndarray = annotations.votes.numpy().astype(np.int64)
    return matrix


def write(annotations: Annotations, path: Path, prefix: str) -> None:
    """Write the matrix as .npy or .csv, in the order of the annotations, and the names of its columns beside it."""
    write_matrix(path, label_matrix(annotations))
    write_text(names_file(path), json.dumps(unique_names(annotations.annotators), ensure_ascii=False, indent=2) + "\n")


def names_file(path: Path) -> Path:
    """File with the column names of a matrix."""
    return path.with_name(f"{path.name}.annotators.json")


def _names(path: Path, count: int) -> list[str]:
    """Of the columns; by their numbers where no file beside the matrix tells."""
    try:
        names = json.loads(names_file(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return [f"column {a}" for a in range(count)]
    except (OSError, ValueError, RecursionError) as error:
        reason = (str(error).splitlines() or [""])[0]
        raise InputError(f"{names_file(path)} cannot be read ({reason}); remove it to number the columns.") from None
    if not isinstance(names, list) or len(names) != count or not all(isinstance(name, str) for name in names):
        raise InputError(f"{names_file(path)} does not hold {count} names; remove it to number the columns.")
    return names


def read(annotations: Annotations, path: Path) -> Annotations:
    """Take each column as a further annotator.

    Raises:
        InputError: it is no matrix with a row per image and class ids or -1.
    """
    matrix = read_matrix(path, len(annotations))
    n_classes = len(annotations.classes)
    wrong = (matrix != np.round(matrix)) | (matrix < -1) | (matrix >= n_classes)
    if wrong.any():
        raise InputError(
            f"{path} holds {matrix[wrong][0]:g}; give class ids from 0 to {n_classes - 1}, and -1 where one abstains."
        )
    votes = torch.from_numpy(matrix.astype(np.int64))
    return add_votes(annotations, votes, [annotator_named(name, "snorkel") for name in _names(path, votes.shape[1])])
