"""cleanlab's two inputs: votes as a table with a column per annotator, and predicted probabilities."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float

from zerolabel.annotations import Annotations, Annotator
from zerolabel.errors import InputError
from zerolabel.integrations.files import read_matrix, read_table, write_matrix, write_table
from zerolabel.integrations.joining import add_votes, annotator_named, places_once, unique_names


def multiannotator(annotations: Annotations) -> pd.DataFrame:
    """``labels_multiannotator``: class ids, NaN where an annotator abstains; the index holds the file names."""
    votes = np.where(annotations.votes.numpy() < 0, np.nan, annotations.votes.numpy())
    return pd.DataFrame(votes, index=pd.Index(annotations.file_names), columns=unique_names(annotations.annotators))


def pred_probs(annotations: Annotations) -> Float[np.ndarray, "N C"]:
    """``pred_probs``: the mean scores; uniform for an image without a vote, since rows must sum to 1."""
    scores: np.ndarray = annotations.scores.double().numpy()
    total = scores.sum(1, keepdims=True)
    uniform = np.full_like(scores, 1 / scores.shape[1])
    return np.where(total > 0, scores / np.where(total > 0, total, 1), uniform)


def write_votes(annotations: Annotations, path: Path, prefix: str) -> None:
    """Write the votes with the file names as first column."""
    table = multiannotator(annotations).astype("Int64")
    table.insert(0, "file_name", list(annotations.file_names))
    write_table(path, table)


def write_scores(annotations: Annotations, path: Path, prefix: str) -> None:
    """Write the probabilities; the order of the images is that of the annotations."""
    write_matrix(path, pred_probs(annotations))


def read_votes(annotations: Annotations, path: Path) -> Annotations:
    """Take each column as a further annotator; images that the table leaves out get no vote of it.

    Raises:
        InputError: it has no column ``file_name``, names unknown images, or holds something else than class ids.
    """
    table = read_table(path, ("file_name",))
    rows = places_once(table["file_name"], annotations, path)
    given = table.drop(columns="file_name")
    if not given.shape[1]:
        raise InputError(f"{path} has no column of votes beside file_name; give one for each annotator.")
    numbers = given.replace("", "-1").apply(pd.to_numeric, errors="coerce").to_numpy(float)
    n_classes = len(annotations.classes)
    if not ((numbers == np.round(numbers)) & (numbers >= -1) & (numbers < n_classes)).all():
        raise InputError(f"{path} holds something else than class ids from 0 to {n_classes - 1}; fix it.")
    votes = torch.full((len(annotations), given.shape[1]), -1)
    votes[rows] = torch.from_numpy(numbers.astype(np.int64))
    return add_votes(annotations, votes, [annotator_named(str(name), "cleanlab") for name in given.columns])


def read_scores(annotations: Annotations, path: Path) -> Annotations:
    """Take probabilities as one further annotator, which votes for the most probable class.

    Raises:
        InputError: it is not a matrix of N x C probabilities.
    """
    matrix = read_matrix(path, len(annotations)).astype(np.float64)
    n_classes = len(annotations.classes)
    fits = matrix.shape[1] == n_classes and np.isfinite(matrix).all() and (matrix >= 0).all()
    if not fits or not np.allclose(matrix.sum(1), 1, atol=1e-3):
        raise InputError(f"{path} holds no probabilities of {n_classes} classes; its rows must sum to 1.")
    p = torch.from_numpy(matrix).float()
    return add_votes(annotations, p.argmax(1, keepdim=True), [Annotator("pred-probs", "", path.name)], p)
