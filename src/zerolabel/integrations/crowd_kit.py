"""crowd-kit's data frame of votes: a row per image and annotator that did not abstain."""

from pathlib import Path

import pandas as pd
import torch

from zerolabel.annotations import Annotations
from zerolabel.errors import InputError
from zerolabel.integrations.files import read_table, write_table
from zerolabel.integrations.joining import add_votes, annotator_named, class_ids, places, unique_names


def answers(annotations: Annotations) -> pd.DataFrame:
    """``task`` (file name), ``worker`` (annotator) and ``label`` (class name), as aggregators take them."""
    rows, columns = (annotations.votes >= 0).nonzero(as_tuple=True)
    workers = unique_names(annotations.annotators)
    return pd.DataFrame(
        {
            "task": [annotations.file_names[i] for i in rows.tolist()],
            "worker": [workers[a] for a in columns.tolist()],
            "label": [annotations.classes[c] for c in annotations.votes[rows, columns].tolist()],
        }
    )


def write(annotations: Annotations, path: Path, prefix: str) -> None:
    """Write the table as .csv or .parquet."""
    write_table(path, answers(annotations))


def read(annotations: Annotations, path: Path) -> Annotations:
    """Take each worker as a further annotator, in the order of their first answers.

    Raises:
        InputError: a column is missing, an image or a class is unknown, or a worker says two things of one image.
    """
    table = read_table(path, ("task", "worker", "label"))
    twice = table[table.duplicated(["task", "worker"])]
    if len(twice):
        first = f"'{twice['worker'].iloc[0]}' answers {twice['task'].iloc[0]} twice"
        raise InputError(f"{path} has {len(twice)} repeated answers, first {first}; leave one of each.")
    workers = {name: a for a, name in enumerate(dict.fromkeys(table["worker"]))}
    votes = torch.full((len(annotations), len(workers)), -1)
    rows = places(table["task"], annotations, path)
    ids = class_ids(table["label"], annotations, path)
    votes[rows, [workers[name] for name in table["worker"]]] = torch.tensor(ids, dtype=torch.long)
    return add_votes(annotations, votes, [annotator_named(name, "crowd-kit") for name in workers])
