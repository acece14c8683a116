"""Snorkel's label matrix: a row per image, a column per annotator, class ids, -1 where one abstains."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int

from zerolabel.annotations import Annotations, Annotator
from zerolabel.errors import InputError
from zerolabel.integrations.files import read_matrix, write_matrix
from zerolabel.integrations.joining import add_votes


def label_matrix(annotations: Annotations) -> Int[np.ndarray, "N A"]:
    """The matrix L that ``snorkel.labeling.model.LabelModel`` is fitted on."""
    matrix: np.ndarray = annotations.votes.numpy().astype(np.int64)
    return matrix


def write(annotations: Annotations, path: Path, prefix: str) -> None:
    """Write the matrix as .npy or .csv; the order of the images is that of the annotations."""
    write_matrix(path, label_matrix(annotations))


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
    return add_votes(annotations, votes, [Annotator("snorkel", "", f"column {a}") for a in range(votes.shape[1])])
