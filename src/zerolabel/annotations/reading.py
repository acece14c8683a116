"""Annotations out of a file, some rows at a time, checked, since a file may come from elsewhere."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from zerolabel.annotations import validation
from zerolabel.errors import InputError
from zerolabel.files import parquet, rows

SCHEMA_VERSION, SPARSE_VERSION = "1", "2"
KEY = b"zerolabel"
"""Of the metadata of a file."""
AT_ONCE = 8192
"""Rows that are read at once."""
_COLUMNS = ("file_name", "sha256", "width", "height", "candidates", "scores", "votes", "label")
_BAD = (KeyError, TypeError, ValueError, RuntimeError, IndexError, pa.ArrowException, MemoryError, OverflowError)


def read_fields(path: str | os.PathLike[str]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The fields of `zerolabel.annotations.Annotations` by name, without the annotators, which come as plain data.

    Raises:
        InputError: there is no such file, or it is damaged, or something else wrote it.
    """
    files = sorted(Path(path).glob("*.parquet")) if Path(path).is_dir() else [Path(path)]
    if not files or not files[0].is_file():
        raise InputError(f"there is no annotations file {path}; `zerolabel annotate` makes one.")
    try:
        schemas, counts = [parquet.schema(file) for file in files], [parquet.length(file) for file in files]
        metas = [validation.read_meta(schema.metadata, KEY) for schema in schemas]
        if any(meta != metas[0] for meta in metas):
            raise ValueError("its parts are of different annotations")
    except (KeyError, json.JSONDecodeError):
        raise InputError(f"{path} was not written by zerolabel: it names no classes; give annotations.") from None
    except (OSError, pa.ArrowException, ValueError, TypeError, MemoryError, OverflowError) as error:
        raise _damaged(path, error) from None
    meta = metas[0]
    if meta.get("schema") not in (SCHEMA_VERSION, SPARSE_VERSION):
        raise InputError(
            f"{path} has schema {meta.get('schema')}, this zerolabel reads {SCHEMA_VERSION}; annotate again."
        )
    wanted = (*_COLUMNS, "score_ids") if meta["schema"] == SPARSE_VERSION else _COLUMNS
    missing = [name for name in wanted for schema in schemas if name not in schema.names]
    if missing:
        raise InputError(f"the annotations file {path} lacks the column {missing[0]}; run `zerolabel annotate` again.")
    try:
        validation.check_meta(meta)
        return _filled(files, sum(counts), meta), meta["annotators"]
    except (OSError, *_BAD) as error:
        raise _damaged(path, error) from None


def _filled(files: list[Path], n: int, meta: dict[str, Any]) -> dict[str, Any]:
    """The fields of N rows."""
    n_classes, n_annotators, sparse = len(meta["classes"]), len(meta["annotators"]), meta["schema"] == SPARSE_VERSION
    names, hashes, first = list[str](), list[str](), 0
    sizes, labels = torch.zeros(n, 2, dtype=torch.long), torch.zeros(n, dtype=torch.long)
    votes = torch.zeros(n, n_annotators, dtype=torch.long)
    scores, candidates = rows.zeros((n, n_classes)), rows.zeros((n, n_classes), torch.bool)
    for stored in (table for file in files for table in parquet.batches(file, AT_ONCE, checked=True)):
        table = validation.plain_columns(stored, (*_COLUMNS, "score_ids") if sparse else _COLUMNS)
        validation.check_table(table, n_classes, n_annotators, sparse=sparse, first=first)
        part = slice(first, first + table.num_rows)
        names += table["file_name"].to_pylist()
        hashes += table["sha256"].to_pylist()
        for k, side in enumerate(("width", "height")):
            sizes[part, k] = torch.from_numpy(table[side].to_numpy().astype(np.int64))
        label = table["label"].cast(pa.int64()).fill_null(-1)
        labels[part] = torch.from_numpy(np.array(label.to_numpy(), dtype=np.int64))
        votes[part] = _flat(table["votes"]).reshape(table.num_rows, n_annotators)
        _scatter(candidates[part], table["candidates"], torch.tensor(True))
        if sparse:
            _scatter(scores[part], table["score_ids"], _flat(table["scores"]).float())
        else:
            scores[part] = _flat(table["scores"]).float().reshape(table.num_rows, n_classes)
        human = labels[part] >= 0
        candidates[part][human] = torch.nn.functional.one_hot(labels[part][human], n_classes).bool()
        first = part.stop
    if first != n:
        raise ValueError(f"it has {first} rows, not {n}")
    validation.check_names(names)
    told = {"classes": tuple(meta["classes"]), "file_names": tuple(names), "sha256": tuple(hashes)}
    tensors = {"sizes": sizes, "votes": votes, "scores": scores, "candidates": candidates, "labels": labels}
    return {**told, **tensors, "rule": meta["rule"]}


def _flat(column: pa.ChunkedArray) -> Tensor:
    """The values of all lists."""
    return torch.from_numpy(np.array(column.combine_chunks().flatten()))


def _scatter(target: Tensor, ids: pa.ChunkedArray, values: Tensor) -> None:
    """Put values at the class ids of each row."""
    lists = ids.combine_chunks()
    owners = np.repeat(np.arange(len(target)), np.asarray(lists.value_lengths().fill_null(0)))
    target[torch.from_numpy(owners), torch.from_numpy(np.array(lists.flatten(), dtype=np.int64))] = values


def _damaged(path: str | os.PathLike[str], error: BaseException) -> InputError:
    reason = (str(error).splitlines() or [""])[0].rstrip(".") or type(error).__name__
    reason = f"{reason!r} is missing" if isinstance(error, KeyError) else reason
    return InputError(f"the annotations file {path} is damaged ({reason}); run `zerolabel annotate` again.")


__all__ = ["KEY", "SCHEMA_VERSION", "SPARSE_VERSION", "read_fields"]
