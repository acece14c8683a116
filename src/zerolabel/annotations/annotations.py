"""Votes, scores and candidate sets: plain data between the annotation stage and everything after it."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from zerolabel.annotations import reading, validation
from zerolabel.annotations.reading import KEY, SCHEMA_VERSION, SPARSE_VERSION
from zerolabel.annotations.validation import CHECKSUM
from zerolabel.errors.printable import sound
from zerolabel.files import parquet, replacing, rows

SPARSE_FROM = 1000
"""Of more classes than this, a file holds the scores that are not zero instead of all C."""
TOP = 64
"""So many of the highest scores of an image are kept then."""

ROW_GROUP = 1 << 16
"""Rows of a file that are packed together."""


@dataclass(frozen=True)
class Annotator:
    """One voter: a model and the one prompt it was given.

    Attributes:
        model: how the model was named, e.g. ``"glyphs"`` or ``"open_clip:ViT-B-32/laion2b_s34b_b79k"``.
        revision: hash or version of its weights; empty where unknown.
        template: the prompt, with ``{}`` where the class name goes.
        choice: 1 for the class it put first; one that may name several classes of an image has a column for each
            further choice, too. Which annotators voted, and how far they agree, follows first choices alone.
        weights: how much the prompt counts in the score of each class, where prompts are weighted; None where the
            scores are means. It says how scores were made, and does not distinguish annotators.
    """

    model: str
    revision: str
    template: str
    choice: int = 1
    weights: tuple[float, ...] | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        for name in ("model", "revision", "template"):  # from files, servers and file names of others
            object.__setattr__(self, name, sound(getattr(self, name)))

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Annotator":
        """Read what `to_dict` gave."""
        weights = data.get("weights")
        return cls(**{**data, "weights": None if weights is None else tuple(weights)})


@dataclass(frozen=True)
class Annotations:
    """Votes, scores and candidate label sets of N images by A annotators over C classes.

    Attributes:
        classes: C class names; a class id is its place here.
        file_names: N names, relative to the image folder, in the order of the image set.
        sha256: N content hashes.
        sizes: width and height of each image, in pixels.
        votes: class id that each annotator chose, -1 where it abstained.
        scores: mean of the annotators' probabilities; a row sums to 1, or is zero where every annotator abstained.
        candidates: the noisy candidate label set; an empty row means unlabeled.
        labels: class id given by a person, -1 where nobody did. Never true labels kept for evaluation.
        annotators: A provenances, in the order of the columns of ``votes``.
        rule: how ``candidates`` was formed, as text.
    """

    classes: tuple[str, ...]
    file_names: tuple[str, ...]
    sha256: tuple[str, ...]
    sizes: Int[Tensor, "N 2"]
    votes: Int[Tensor, "N A"]
    scores: Float[Tensor, "N C"]
    candidates: Bool[Tensor, "N C"]
    labels: Int[Tensor, " N"]
    annotators: tuple[Annotator, ...]
    rule: str

    def __len__(self) -> int:
        return len(self.file_names)

    @property
    def human(self) -> Bool[Tensor, " N"]:
        """Which images have a label given by a person."""
        return self.labels >= 0

    @property
    def n_votes(self) -> Int[Tensor, " N"]:
        """Number of annotators that voted on each image; the scores are their mean. Second choices do not count."""
        first = [a for a, annotator in enumerate(self.annotators) if annotator.choice == 1]
        return (self.votes[:, first] >= 0).sum(1)

    def select(self, index: Int[Tensor, " M"]) -> "Annotations":
        """The annotations of some images, in the given order."""
        places = index.tolist()
        return replace(
            self,
            file_names=tuple(self.file_names[i] for i in places),
            sha256=tuple(self.sha256[i] for i in places),
            sizes=self.sizes[index],
            votes=self.votes[index],
            labels=self.labels[index],
            scores=rows.select(self.scores, index),
            candidates=rows.select(self.candidates, index),
        )

    def with_candidates(self, candidates: Bool[Tensor, "N C"], rule: str) -> "Annotations":
        """A copy with other candidate sets; the set of a human-labeled image stays its label."""
        return replace(self, candidates=_pin(candidates, self.labels), rule=rule)

    def with_labels(self, labels: Int[Tensor, " N"]) -> "Annotations":
        """Add labels given by a person: each becomes a candidate set of one that nothing overrules."""
        return replace(self, labels=labels, candidates=_pin(self.candidates, labels))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one parquet file, atomically: it is there whole or not at all.

        Raises:
            InputError: the disk is full or the folder cannot be written.
        """
        with replacing(Path(path)) as partial:
            parquet.write(self.table(), partial, row_group_size=ROW_GROUP)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Annotations":
        """Read what `save` wrote, or the parts of it in a folder, in the order of their names.

        Everything is checked, see `zerolabel.annotations.validation`, since a file may come from elsewhere.

        Scores that were not kept of more than `SPARSE_FROM` classes are zero.

        Raises:
            InputError: there is no such file, or it is damaged, or something else wrote it.
        """
        fields, annotators = reading.read_fields(path)
        return cls(**fields, annotators=tuple(map(Annotator.from_dict, annotators)))

    def with_scores(self, scores: Float[Tensor, "N C"]) -> "Annotations":
        """A copy with other scores."""
        return replace(self, scores=scores)

    def table(self) -> pa.Table:
        """The table as stored; with more than `SPARSE_FROM` classes, only nonzero scores with their ids."""
        sparse = len(self.classes) > SPARSE_FROM
        meta = {
            "schema": SPARSE_VERSION if sparse else SCHEMA_VERSION,
            "classes": self.classes,
            "annotators": [annotator.to_dict() for annotator in self.annotators],
            "rule": self.rule,
        }
        scored = self.scores != 0
        columns = {
            "file_name": pa.array(self.file_names, pa.string()),
            "sha256": pa.array(self.sha256, pa.string()),
            "width": pa.array(self.sizes[:, 0].numpy(), pa.int32()),
            "height": pa.array(self.sizes[:, 1].numpy(), pa.int32()),
            "candidates": _ids(self.candidates),
            "scores": _lists(scored, pa.array(self.scores[scored].numpy(), pa.float32()))
            if sparse
            else _fixed(self.scores.numpy(), pa.float32()),
            "votes": _fixed(self.votes.numpy(), pa.int32()),
            "label": pa.array([None if x < 0 else x for x in self.labels.tolist()], pa.int32()),
        }
        if sparse:
            columns["score_ids"] = _ids(scored)
        encoded = json.dumps(meta).encode()
        return pa.table(columns).replace_schema_metadata({KEY: encoded, CHECKSUM: validation.checksum(encoded)})


def names_of(annotators: Sequence[Annotator]) -> list[str]:
    """Names that distinguish annotators in a table: the template, preceded by the model if there are several."""
    several = len({annotator.model for annotator in annotators}) > 1
    return [
        (f"{one.model}: {one.template}" if several else one.template) + (f" (choice {one.choice})" * (one.choice > 1))
        for one in annotators
    ]


def _lists(mask: Bool[Tensor, "N C"], values: pa.Array) -> pa.Array:
    """A list per row, of values that belong to the places where the mask is set, row by row."""
    offsets = np.concatenate([np.zeros(1, np.int64), mask.sum(1).cumsum(0).numpy()])
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values)


def _ids(mask: Bool[Tensor, "N C"]) -> pa.Array:
    return _lists(mask, pa.array(mask.nonzero(as_tuple=True)[1].numpy(), pa.int32()))


def _fixed(matrix: np.ndarray, kind: pa.DataType) -> pa.Array:
    n, width = matrix.shape
    offsets = pa.array(np.arange(n + 1, dtype=np.int32) * width)
    return pa.ListArray.from_arrays(offsets, pa.array(matrix.ravel(), kind))


def _pin(candidates: Bool[Tensor, "N C"], labels: Int[Tensor, " N"]) -> Bool[Tensor, "N C"]:
    """A human label is a candidate set of one."""
    human = labels >= 0
    pinned = rows.copy(candidates)
    pinned[human] = torch.nn.functional.one_hot(labels[human], candidates.shape[1]).bool()
    return pinned
