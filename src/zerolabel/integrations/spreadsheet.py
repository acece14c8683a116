"""A table for people: what is thought of each image, and a column to write the right class into."""

from pathlib import Path

import pandas as pd

from zerolabel.annotations import Annotations
from zerolabel.data.label_tables import read_rows
from zerolabel.integrations.addresses import located
from zerolabel.integrations.files import write_table
from zerolabel.integrations.joining import correct, unique_names

SEPARATOR = "|"


def table(annotations: Annotations) -> pd.DataFrame:
    """A row per image: ``file_name``, ``label``, ``best``, ``confidence``, ``candidates`` and a column per annotator.

    ``label`` holds human labels, and is empty elsewhere, so that filling it in and reading it back corrects
    those images alone.
    """
    names = [*annotations.classes, ""]
    best, spoken = annotations.scores.max(1), annotations.scores.any(1)
    return pd.DataFrame(
        {
            "file_name": annotations.file_names,
            "label": [names[c] for c in annotations.labels.tolist()],
            "best": [names[c] for c in best.indices.where(spoken, -1).tolist()],
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
    """Take what stands in the column ``label`` as said by a person.

    Raises:
        InputError: a column is missing, or an image or a class is unknown.
    """
    rows = read_rows(path)
    names = located([name for name, _ in rows], annotations.file_names)
    return correct(annotations, zip(names, (label for _, label in rows), strict=True), path)
