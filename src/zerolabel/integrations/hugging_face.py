"""A Hugging Face data set of annotations: one parquet file whose columns know their class names."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from jaxtyping import Float
from torch import Tensor

from zerolabel.annotations import Annotations
from zerolabel.annotations.validation import SLACK
from zerolabel.data.images.urls import joined
from zerolabel.errors import InputError
from zerolabel.errors.printable import is_sound
from zerolabel.files import parquet
from zerolabel.integrations.files import write_whole
from zerolabel.integrations.joining import add_votes, annotator_named, class_ids, places_once, unique_names

_CLASSED = ("candidates", "votes", "label")
_DAMAGED = (KeyError, TypeError, ValueError, AttributeError, OSError, RecursionError, StopIteration)
_KEY, _OWN = b"huggingface", b"zerolabel-votes"


def table(annotations: Annotations, prefix: str = "") -> pa.Table:
    """``file_name``, ``candidates``, ``votes``, ``scores`` and ``label``, with the features that `datasets` reads.

    Classes are ``ClassLabel``, candidates and votes sequences of it, -1 an abstention.

    Args:
        annotations: of the images.
        prefix: folder or URL of the images; where given, the column ``image`` says where each lies.
    """
    label = {"names": list(annotations.classes), "_type": "ClassLabel"}
    columns: dict[str, tuple[pa.Array, dict[str, Any]]] = {
        "file_name": (pa.array(annotations.file_names, pa.string()), {"dtype": "string", "_type": "Value"}),
        "candidates": (
            pa.array([row.nonzero().squeeze(1).tolist() for row in annotations.candidates], pa.list_(pa.int64())),
            {"feature": label, "_type": "Sequence"},
        ),
        "votes": (
            pa.array(annotations.votes.tolist(), pa.list_(pa.int64())),
            {"feature": label, "_type": "Sequence"},
        ),
        "scores": (
            pa.array(list(annotations.scores.numpy()), pa.list_(pa.float32())),
            {"feature": {"dtype": "float32", "_type": "Value"}, "_type": "Sequence"},
        ),
        "label": (pa.array([c if c >= 0 else None for c in annotations.labels.tolist()], pa.int64()), label),
    }
    if prefix:
        images = [{"bytes": None, "path": joined(prefix, name)} for name in annotations.file_names]
        kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
        columns = {"image": (pa.array(images, kind), {"_type": "Image"})} | columns
    features = {"info": {"features": {name: feature for name, (_, feature) in columns.items()}}}
    provenance = {"annotators": unique_names(annotations.annotators), "rule": annotations.rule}
    arrays = {name: array for name, (array, _) in columns.items()}
    return pa.table(arrays).replace_schema_metadata({_KEY: json.dumps(features), _OWN: json.dumps(provenance)})


def write(annotations: Annotations, path: Path, prefix: str) -> None:
    """Write the table as .parquet."""
    content = table(annotations, prefix)
    write_whole(path, lambda partial: parquet.write(content, partial, row_group_size=10_000))


def read(annotations: Annotations, path: Path) -> Annotations:
    """Take votes as further annotators, and human labels.

    Scores are taken as they are where there was no annotator before; candidates there, too, and where the file has no
    votes that they could be formed of.

    Raises:
        InputError: a column is missing or damaged, or an image or a class is unknown.
    """
    try:
        content = parquet.read(path)
        meta = {key: json.loads(value) for key, value in (content.schema.metadata or {}).items() if key in (_KEY, _OWN)}
        features = meta[_KEY]["info"]["features"]
        names = content["file_name"].to_pylist()
        lists = {name: content[name].to_pylist() for name in _CLASSED if name in content.column_names}
        words = next(_class_names(features[name]) for name in lists)
        workers = _workers(meta.get(_OWN, {}), lists.get("votes"))
    except (*_DAMAGED, pa.ArrowException) as error:
        reason = (str(error).splitlines() or [""])[0]
        raise InputError(f"{path} is not a data set with candidates ({reason}); write it with `datasets`.") from None
    ids = torch.tensor([*class_ids(words, annotations, path), -1])  # the last place is that of -1
    rows = torch.tensor(places_once(names, annotations, path), dtype=torch.long)
    joined, first = annotations, not annotations.annotators
    if "votes" in lists:
        votes = torch.full((len(annotations), len(workers)), -1)
        votes[rows] = ids[_numbers(lists["votes"], len(workers), "votes", -1, len(words), path).long()]
        joined = add_votes(joined, votes, [annotator_named(name, "hugging-face") for name in workers])
    if first and "scores" in content.column_names:
        scores = torch.zeros_like(joined.scores)
        given = _numbers(content["scores"].to_pylist(), len(words), "scores", 0, 2, path)
        if bool((given.sum(1) > 1 + SLACK).any()):
            raise InputError(f"{path} has scores that add up to more than 1; give probabilities.")
        scores[rows[:, None], ids[:-1]] = given.float()
        joined = replace(joined, scores=scores)
    if "candidates" in lists and (first or "votes" not in lists):
        sets = joined.candidates.clone()
        sets[rows] = False
        for row, chosen in zip(rows.tolist(), lists["candidates"], strict=True):
            held = chosen or []
            sets[row, ids[_numbers([held], len(held), "candidates", 0, len(words), path)[0].long()]] = True
        joined = joined.with_candidates(sets, _rule(meta.get(_OWN, {})))
    human = torch.full((len(annotations),), -1)
    labels = [[-1 if label is None else label] for label in lists.get("label", [None] * len(rows))]
    human[rows] = ids[_numbers(labels, 1, "label", -1, len(words), path)[:, 0].long()]
    return joined.with_labels(torch.where(human >= 0, human, joined.labels))


def _workers(own: dict[str, Any], votes: list[list[int]] | None) -> list[str]:
    """Names of the columns of votes."""
    given = own.get("annotators") or [f"column {a}" for a in range(len(votes[0]) if votes else 0)]
    if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
        raise TypeError("its annotators are no list of names")
    return given


def _rule(own: dict[str, Any]) -> str:
    rule = own.get("rule")
    return rule if isinstance(rule, str) and is_sound(rule) else "hugging-face"


def _numbers(rows: Sequence[object], width: int, name: str, low: int, stop: int, path: Path) -> Float[Tensor, "N W"]:
    """Rows of so many numbers, each from ``low`` to below ``stop``; whole ones but for scores.

    Raises:
        InputError: they are others.
    """
    try:
        found = torch.tensor(rows, dtype=torch.float64).reshape(len(rows), width)
    except (ValueError, TypeError, RuntimeError):
        raise InputError(f"{path} has {name} that are not {width} numbers in every row; write it again.") from None
    fits = (found >= low) & (found < stop) & ((found == found.round()) | (name == "scores"))
    if not bool(fits.all()):
        told = f"that are no numbers from {low} to {stop - 1}" if name != "scores" else "that are no probabilities"
        raise InputError(f"{path} has {name} {told}; write it again.")
    return found


def _class_names(feature: dict[str, Any]) -> list[str]:
    """Of a ``ClassLabel``, or of a list of it."""
    names: list[str] = feature.get("feature", feature)["names"]
    if not all(isinstance(name, str) for name in names):
        raise TypeError("a class has no name")
    return names
