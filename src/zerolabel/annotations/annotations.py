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

from zerolabel.annotations import validation
from zerolabel.annotations.validation import CHECKSUM
from zerolabel.errors import InputError
from zerolabel.errors.printable import sound
from zerolabel.files import parquet, replacing

SCHEMA_VERSION = "1"
SPARSE_VERSION = "2"
SPARSE_FROM = 1000
"""Of more classes than this, a file holds the scores that are not zero instead of all C."""
TOP = 64
"""So many of the highest scores of an image are kept then."""

_KEY = b"zerolabel"
_COLUMNS = ("file_name", "sha256", "width", "height", "candidates", "scores", "votes", "label")


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
        rows = index.tolist()
        return replace(
            self,
            file_names=tuple(self.file_names[i] for i in rows),
            sha256=tuple(self.sha256[i] for i in rows),
            **{name: getattr(self, name)[index] for name in ("sizes", "votes", "scores", "candidates", "labels")},
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
            parquet.write(self.table(), partial)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Annotations":
        """Read what `save` wrote, or the parts of it in a folder, in the order of their names.

        Everything is checked, see `zerolabel.annotations.validation`, since a file may come from elsewhere.

        Scores that were not kept of more than `SPARSE_FROM` classes are zero.

        Raises:
            InputError: there is no such file, or it is damaged, or something else wrote it.
        """
        files = sorted(Path(path).glob("*.parquet")) if Path(path).is_dir() else [Path(path)]
        if not files or not files[0].is_file():
            raise InputError(f"there is no annotations file {path}; `zerolabel annotate` makes one.")
        try:
            tables = [parquet.read(file, checked=True) for file in files]
            metas = [validation.read_meta(table.schema.metadata, _KEY) for table in tables]
            if any(meta != metas[0] for meta in metas):
                raise ValueError("its parts are of different annotations")
            table, meta = pa.concat_tables(tables), metas[0]
        except (KeyError, json.JSONDecodeError):
            raise InputError(f"{path} was not written by zerolabel: it names no classes; give annotations.") from None
        except (OSError, pa.ArrowException, ValueError, TypeError, MemoryError, OverflowError) as error:
            raise _damaged(path, error) from None
        if meta.get("schema") not in (SCHEMA_VERSION, SPARSE_VERSION):
            raise InputError(
                f"{path} has schema {meta.get('schema')}, this zerolabel reads {SCHEMA_VERSION}; annotate again."
            )
        wanted = (*_COLUMNS, "score_ids") if meta["schema"] == SPARSE_VERSION else _COLUMNS
        missing = [name for name in wanted if name not in table.column_names]
        if missing:
            raise InputError(
                f"the annotations file {path} lacks the column {missing[0]}; run `zerolabel annotate` again."
            )
        try:
            validation.check_meta(meta)
            sparse = meta["schema"] == SPARSE_VERSION
            validation.check_table(table, len(meta["classes"]), len(meta["annotators"]), sparse=sparse)
            return cls._from_table(table, meta)
        except (
            *(KeyError, TypeError, ValueError, RuntimeError, IndexError),
            *(pa.ArrowException, MemoryError, OverflowError),
        ) as error:
            raise _damaged(path, error) from None

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
        return pa.table(columns).replace_schema_metadata({_KEY: encoded, CHECKSUM: validation.checksum(encoded)})

    @classmethod
    def _from_table(cls, table: pa.Table, meta: dict[str, Any]) -> "Annotations":
        classes, n = tuple(meta["classes"]), table.num_rows
        lists = table["candidates"].combine_chunks()
        lengths = np.asarray(lists.value_lengths().fill_null(0))
        candidates = torch.zeros(n, len(classes), dtype=torch.bool)
        candidates[np.repeat(np.arange(n), lengths), np.array(lists.flatten(), dtype=np.int64)] = True
        label = table["label"].cast(pa.int64()).fill_null(-1)
        labels = torch.from_numpy(np.array(label.to_numpy(), dtype=np.int64))
        return cls(
            classes=classes,
            file_names=tuple(table["file_name"].to_pylist()),
            sha256=tuple(table["sha256"].to_pylist()),
            sizes=torch.stack(
                [torch.from_numpy(table[side].to_numpy().astype(np.int64)) for side in ("width", "height")], 1
            ),
            votes=_matrix(table["votes"], n, len(meta["annotators"])).long(),
            scores=_matrix(table["scores"], n, len(classes)).float()
            if meta["schema"] == SCHEMA_VERSION
            else _scattered(table["scores"], table["score_ids"], n, len(classes)),
            candidates=_pin(candidates, labels),
            labels=labels,
            annotators=tuple(map(Annotator.from_dict, meta["annotators"])),
            rule=meta["rule"],
        )


def names_of(annotators: Sequence[Annotator]) -> list[str]:
    """Names that distinguish annotators in a table: the template, preceded by the model if there are several."""
    several = len({annotator.model for annotator in annotators}) > 1
    return [
        (f"{one.model}: {one.template}" if several else one.template) + (f" (choice {one.choice})" * (one.choice > 1))
        for one in annotators
    ]


def _damaged(path: str | os.PathLike[str], error: BaseException) -> InputError:
    reason = (str(error).splitlines() or [""])[0].rstrip(".") or type(error).__name__
    reason = f"{reason!r} is missing" if isinstance(error, KeyError) else reason
    return InputError(f"the annotations file {path} is damaged ({reason}); run `zerolabel annotate` again.")


def _lists(mask: Bool[Tensor, "N C"], values: pa.Array) -> pa.Array:
    """A list per row, of values that belong to the places where the mask is set, row by row."""
    offsets = np.concatenate([np.zeros(1, np.int64), mask.sum(1).cumsum(0).numpy()])
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values)


def _ids(mask: Bool[Tensor, "N C"]) -> pa.Array:
    return _lists(mask, pa.array(mask.nonzero(as_tuple=True)[1].numpy(), pa.int32()))


def _scattered(values: pa.ChunkedArray, ids: pa.ChunkedArray, rows: int, width: int) -> Float[Tensor, "N C"]:
    lists = ids.combine_chunks()
    scores = torch.zeros(rows, width)
    owners = np.repeat(np.arange(rows), np.asarray(lists.value_lengths()))
    columns = torch.from_numpy(np.array(lists.flatten(), dtype=np.int64))
    scores[torch.from_numpy(owners), columns] = torch.from_numpy(np.array(values.combine_chunks().flatten()))
    return scores


def _fixed(matrix: np.ndarray, kind: pa.DataType) -> pa.Array:
    n, width = matrix.shape
    offsets = pa.array(np.arange(n + 1, dtype=np.int32) * width)
    return pa.ListArray.from_arrays(offsets, pa.array(matrix.ravel(), kind))


def _matrix(column: pa.ChunkedArray, rows: int, width: int) -> Tensor:
    flat = np.array(column.combine_chunks().flatten())
    return torch.from_numpy(flat.reshape(rows, width))


def _pin(candidates: Bool[Tensor, "N C"], labels: Int[Tensor, " N"]) -> Bool[Tensor, "N C"]:
    """A human label is a candidate set of one."""
    human = labels >= 0
    pinned = candidates.clone()
    pinned[human] = torch.nn.functional.one_hot(labels[human], candidates.shape[1]).bool()
    return pinned
