"""Annotations in parts on disk: one file per range of images, joined at the end."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from zerolabel.annotate.embedding import NOT_FINITE, Block
from zerolabel.annotate.known import FeatureStore
from zerolabel.annotate.prompt_weights import weighted_texts
from zerolabel.annotate.text_features import score, strongest
from zerolabel.annotations import Annotations, Annotator, candidates
from zerolabel.annotations.annotations import SPARSE_FROM, TOP
from zerolabel.data.images import ImageSet
from zerolabel.files import parquet, replacing
from zerolabel.vlms.encoder import Encoder

SKIPPED = b"zerolabel.skipped"
_BY_ROW = ("union", "votes", "topk", "ratio", "mass", "soft")


@dataclass(frozen=True)
class Question:
    """Model, classes and templates that every image is scored with.

    Attributes:
        classes: C names.
        templates: A prompts.
        texts: their features (A C D).
        rule: how candidates are formed.
    """

    classes: tuple[str, ...]
    templates: tuple[str, ...]
    texts: torch.Tensor
    rule: str

    @property
    def by_row(self) -> bool:
        """True if the rule reads one image at a time, so that candidates are formed range by range."""
        return self.rule.strip().partition(":")[0] in _BY_ROW


def part_path(folder: Path, place: tuple[int, int]) -> Path:
    """The file of a range of images; who writes it again writes the same."""
    return folder / f"{place[0]:012}-{place[1]:012}.parquet"


def write_part(
    path: Path, images: ImageSet, block: Block, encoder: Encoder, store: FeatureStore, question: Question
) -> None:
    """Score the images of a range, whose features the store has, and write them and what could not be read.

    Of more than `SPARSE_FROM` classes the `TOP` highest scores of an image are kept; votes and candidates are formed
    from all of them.

    Raises:
        InputError: the disk is full.
    """
    features, sizes = store.rows(block.sha256)
    votes, scores = score(encoder, features, question.texts)
    finite = scores.isfinite().all(1)
    part = Annotations(
        classes=question.classes,
        file_names=tuple(images.file_names[i] for i in block.index),
        sha256=tuple(block.sha256),
        sizes=sizes,
        votes=votes,
        scores=scores,
        candidates=torch.zeros(scores.shape, dtype=torch.bool),
        labels=torch.full((len(votes),), -1),
        annotators=tuple(Annotator(encoder.name, encoder.revision, template) for template in question.templates),
        rule=question.rule,
    )
    part, skipped = _finite(part, finite, block, images)
    _put(path, part, question, skipped)


def weigh_part(
    path: Path, encoder: Encoder, store: FeatureStore, question: Question, weights: Float[Tensor, "A C"]
) -> None:
    """Write a part again with the scores that weighted prompts give its images.

    Raises:
        InputError: the disk is full.
    """
    skipped = [(str(name), str(why)) for name, why in json.loads(parquet.schema(path).metadata[SKIPPED])]
    part = Annotations.load(path)
    features, _ = store.rows(part.sha256)
    scores = encoder.probabilities(features, weighted_texts(question.texts, weights)[0]) if len(part) else part.scores
    rounded = [tuple(round(value, 5) for value in row) for row in weights.tolist()]
    annotators = tuple(replace(one, weights=row) for one, row in zip(part.annotators, rounded, strict=True))
    _put(path, replace(part, scores=scores, annotators=annotators), question, skipped)


def _put(path: Path, part: Annotations, question: Question, skipped: list[tuple[str, str]]) -> None:
    """Form candidates, keep the strongest scores of many classes, and write a part whole."""
    if question.by_row and len(part):
        part = part.with_candidates(candidates.parse_rule(question.rule)(part), question.rule)
    if len(question.classes) > SPARSE_FROM:
        part = part.with_scores(strongest(part.scores, TOP))
    table = part.table()
    table = table.replace_schema_metadata({**table.schema.metadata, SKIPPED: json.dumps(skipped)})
    with replacing(path) as partial:
        parquet.write(table, partial)


def _finite(
    part: Annotations, finite: Bool[Tensor, " N"], block: Block, images: ImageSet
) -> tuple[Annotations, list[tuple[str, str]]]:
    """The images whose scores are finite, and what could not be annotated, in the order of the images."""
    if bool(finite.all()):
        return part, block.skipped
    broken = [(part.file_names[i], NOT_FINITE) for i in (~finite).nonzero().squeeze(1).tolist()]
    place = {name: i for i, name in enumerate(images.file_names)}
    skipped = sorted([*block.skipped, *broken], key=lambda one: place[one[0]])
    return part.select(finite.nonzero().squeeze(1)), skipped


@dataclass(frozen=True)
class Joined:
    """Result of `join`.

    Attributes:
        n_images: rows.
        candidates: sizes of all candidate sets together.
        labeled: rows that have candidates.
        skipped: what could not be read, in the order of the images.
    """

    n_images: int
    candidates: int
    labeled: int
    skipped: tuple[tuple[str, str], ...]


def join(parts: Sequence[Path], path: Path) -> Joined:
    """One file of all parts, a row group for each that has rows; memory holds one part at a time.

    Nothing is written where no part has a row.

    Raises:
        InputError: the disk is full.
    """
    rows = sets = labeled = 0
    skipped: list[tuple[str, str]] = []
    schema = None
    for part in parts:
        schema = parquet.schema(part)
        skipped += map(tuple, json.loads(schema.metadata[SKIPPED]))
        rows += parquet.opened(part).metadata.num_rows
    if rows and schema is not None:
        schema = schema.with_metadata({name: value for name, value in schema.metadata.items() if name != SKIPPED})
        with replacing(path) as partial, parquet.writer(partial, schema) as file:
            for table in _tables(parts):
                lengths = table["candidates"].combine_chunks().value_lengths().to_numpy()
                sets, labeled = sets + int(lengths.sum()), labeled + int((lengths > 0).sum())
                file.write_table(table.replace_schema_metadata(schema.metadata))
    return Joined(rows, sets, labeled, tuple(skipped))


def _tables(parts: Sequence[Path]) -> Iterator[pa.Table]:
    for part in parts:
        table = parquet.read(part)
        if table.num_rows:
            yield table


def remove(folder: Path) -> None:
    """The parts, once they are joined."""
    for path in folder.iterdir():
        path.unlink()
    os.rmdir(folder)
