"""A Hugging Face data set of annotations: one parquet file whose columns know their class names."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from zerolabel.annotations import Annotations
from zerolabel.data.images.urls import joined
from zerolabel.errors import InputError
from zerolabel.integrations.files import write_whole
from zerolabel.integrations.joining import add_votes, annotator_named, class_ids, places, unique_names

_CLASSED = ("candidates", "votes", "label")
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
    write_whole(path, lambda partial: pq.write_table(content, partial, row_group_size=10_000))


def read(annotations: Annotations, path: Path) -> Annotations:
    """Take votes as further annotators, and human labels.

    Scores are taken as they are where there was no annotator before; candidates there, too, and where the file has no
    votes that they could be formed of.

    Raises:
        InputError: a column is missing or damaged, or an image or a class is unknown.
    """
    try:
        content = pq.ParquetFile(path).read()
        meta = {key: json.loads(value) for key, value in (content.schema.metadata or {}).items() if key in (_KEY, _OWN)}
        features = meta[_KEY]["info"]["features"]
        names = content["file_name"].to_pylist()
        lists = {name: content[name].to_pylist() for name in _CLASSED if name in content.column_names}
        words = next(_class_names(features[name]) for name in lists)
    except (KeyError, TypeError, ValueError, OSError, StopIteration, pa.ArrowException) as error:
        reason = (str(error).splitlines() or [""])[0]
        raise InputError(f"{path} is not a data set with candidates ({reason}); write it with `datasets`.") from None
    ids = torch.tensor([*class_ids(words, annotations, path), -1])  # the last place is that of -1
    rows = torch.tensor(places(names, annotations, path), dtype=torch.long)
    own = meta.get(_OWN, {})
    joined, first = annotations, not annotations.annotators
    if "votes" in lists:
        workers = own.get("annotators") or [f"column {a}" for a in range(len(lists["votes"][0]))]
        votes = torch.full((len(annotations), len(workers)), -1)
        votes[rows] = ids[torch.tensor(lists["votes"], dtype=torch.long).reshape(len(rows), len(workers))]
        joined = add_votes(joined, votes, [annotator_named(name, "hugging-face") for name in workers])
    if first and "scores" in content.column_names:
        scores = torch.zeros_like(joined.scores)
        given = torch.tensor(content["scores"].to_pylist(), dtype=torch.float32).reshape(len(rows), len(words))
        scores[rows[:, None], ids[:-1]] = given
        joined = replace(joined, scores=scores)
    if "candidates" in lists and (first or "votes" not in lists):
        sets = joined.candidates.clone()
        sets[rows] = False
        for row, chosen in zip(rows.tolist(), lists["candidates"], strict=True):
            sets[row, ids[torch.tensor(chosen or [], dtype=torch.long)]] = True
        joined = joined.with_candidates(sets, own.get("rule", "hugging-face"))
    human = torch.full((len(annotations),), -1)
    human[rows] = ids[torch.tensor([-1 if c is None else c for c in lists.get("label", [None] * len(rows))])]
    return joined.with_labels(torch.where(human >= 0, human, joined.labels))


def _class_names(feature: dict[str, Any]) -> list[str]:
    """Of a ``ClassLabel``, or of a list of it."""
    names: list[str] = feature.get("feature", feature)["names"]
    return names
