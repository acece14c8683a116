"""A table for people: what is thought of each image, and a column to write the right class into."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch

from zerolabel.annotations import Annotations
from zerolabel.data.label_tables import read_rows
from zerolabel.integrations.addresses import located
from zerolabel.integrations.files import read_table, write_table
from zerolabel.integrations.joining import add_votes, annotator_named, class_ids, correct, places_once, unique_names
from zerolabel.integrations.sampling import CHANCE, WHY, drawn_at_random, without_random

SEPARATOR = "|"
_COLUMNS = ("file_name", "label", "best", "confidence", "candidates")


def table(annotations: Annotations) -> pd.DataFrame:
    """A row per image: ``file_name``, ``label``, ``best``, ``confidence``, ``candidates`` and a column per annotator.

    ``label`` holds human labels, and is empty elsewhere, so that filling it in and reading it back corrects
    those images alone.
    """
    names = [*annotations.classes, ""]
    best, voted = annotations.scores.max(1), annotations.scores.any(1)
    return pd.DataFrame(
        {
            "file_name": annotations.file_names,
            "label": [names[c] for c in annotations.labels.tolist()],
            "best": [names[c] for c in best.indices.where(voted, -1).tolist()],
            "confidence": [round(p, 6) for p in best.values.tolist()],
            "candidates": candidate_names(annotations),
        }
        | {
            name: [names[c] for c in annotations.votes[:, a].tolist()]
            for a, name in enumerate(unique_names(annotations.annotators))
        }
    )


def candidate_names(annotations: Annotations) -> list[str]:
    """The candidates of each image, the most probable first."""
    order = annotations.scores.argsort(dim=1, descending=True, stable=True)
    kept = annotations.candidates.gather(1, order)
    return [
        SEPARATOR.join(annotations.classes[c] for c in ids[inside].tolist())
        for ids, inside in zip(order, kept, strict=True)
    ]


def write(annotations: Annotations, path: Path, prefix: str) -> None:
    """Write the table as .csv, .tsv or .parquet."""
    write_table(path, table(annotations))


def read(annotations: Annotations, path: Path) -> Annotations:
    """Take what stands in the column ``label`` as said by a person, and the votes of annotators that are not there yet.

    Votes are taken of tables that `write` made, and the candidates as well where there was no annotator before.

    Raises:
        InputError: a column is missing, or an image or a class is unknown.
    """
    rows = read_rows(path)
    names = located([name for name, _ in rows], annotations.file_names)
    joined = annotations
    content = read_table(path, ())
    columns = [str(name) for name in content.columns]
    if columns[: len(_COLUMNS)] == list(_COLUMNS):
        known = set(unique_names(annotations.annotators))
        workers = [name for name in columns[len(_COLUMNS) :] if name not in (*known, WHY, CHANCE)]
        places_of = places_once(located(list(content["file_name"]), annotations.file_names), annotations, path)
        votes = torch.full((len(annotations), len(workers)), -1)
        for a, name in enumerate(workers):
            votes[places_of, a] = torch.tensor(class_ids(content[name], annotations, path), dtype=torch.long)
        if workers:
            joined = add_votes(joined, votes, [annotator_named(name, "csv") for name in workers])
        if workers and not known and not any(SEPARATOR in name for name in annotations.classes):
            joined = _with_sets(joined, places_of, list(content["candidates"]), path)
    labels = zip(names, (label for _, label in rows), strict=True)
    return correct(joined, without_random(labels, _random(content, names), path), path)


def _random(content: pd.DataFrame, names: Sequence[str]) -> set[str]:
    """Names of labeled images that were drawn at random, where the table carries a sampling design."""
    if WHY not in content.columns:
        return set()
    rows = zip(names, content[WHY], content.get("label", [""] * len(content)), strict=True)
    return {name for name, why, label in rows if label and drawn_at_random(why)}


def _with_sets(annotations: Annotations, rows: Sequence[int], sets: Sequence[str], path: Path) -> Annotations:
    """Set the candidate sets of a table."""
    held = annotations.candidates.clone()
    for row, names in zip(rows, sets, strict=True):
        held[row] = False
        held[row, class_ids(filter(None, names.split(SEPARATOR)), annotations, path)] = True
    return annotations.with_candidates(held, annotations.rule)
