"""Checks that a table contains annotations: types, ranges, lengths and names, before it is used.

Each check raises ValueError with a reason that a sentence can hold.
"""

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from zerolabel.errors.printable import is_sound

CHECKSUM = b"zerolabel.sha256"
"""Bytes of a file's metadata about classes and annotators. Pages of columns have their own checksums."""
SLACK = 1e-2
"""By how much rounding may carry a row of scores above 1."""
_HASH = re.compile(r"(?:[0-9a-f]{64})?")
_ANNOTATOR = {"model": str, "revision": str, "template": str, "choice": int}


def checksum(data: bytes) -> bytes:
    """The value of `CHECKSUM`."""
    return hashlib.sha256(data).hexdigest().encode()


def read_meta(metadata: dict[bytes, bytes] | None, key: bytes) -> dict[str, Any]:
    """Read classes, annotators and rule from the metadata of a file.

    Raises:
        KeyError: it holds nothing.
        ValueError: it is no JSON object, too deep, or not what was written.
    """
    raw = (metadata or {})[key]
    try:
        meta = json.loads(raw, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("its metadata is nested too deeply") from None
    if not isinstance(meta, dict):
        raise ValueError("its metadata is no object")
    stored = (metadata or {}).get(CHECKSUM)
    if stored is not None and stored != checksum(raw):
        raise ValueError("its metadata is not what was written")
    return meta


def check_meta(meta: dict[str, Any]) -> None:
    """Classes, annotators and rule."""
    classes, annotators, rule = (meta[name] for name in ("classes", "annotators", "rule"))
    if not isinstance(classes, list) or not classes:
        raise ValueError("it names no list of classes")
    for name in classes:
        if not isinstance(name, str) or not name.strip() or not is_sound(name):
            raise ValueError(f"a class is named {name!r:.50}, which is no name")
    if twice := repeated(classes):
        raise ValueError(f"the class {twice!r} is there twice")
    if not isinstance(rule, str) or not is_sound(rule):
        raise ValueError("its rule is no text")
    if not isinstance(annotators, list) or not all(isinstance(one, dict) for one in annotators):
        raise ValueError("it names no list of annotators")
    for one in annotators:
        if not {"model", "revision", "template"} <= set(one) <= {*_ANNOTATOR, "weights"}:
            raise ValueError("an annotator lacks an entry, or has one that is unknown")
        _check_weights(one.get("weights"), len(classes))
        for name, value in one.items():
            if name == "weights":
                continue
            if not isinstance(value, _ANNOTATOR[name]) or isinstance(value, bool):
                raise ValueError(f"an annotator's {name} is {value!r:.50}")
            if not (is_sound(value) if isinstance(value, str) else isinstance(value, int) and value >= 1):
                raise ValueError(f"an annotator's {name} is {value!r:.50}")


def _check_weights(weights: object, n_classes: int) -> None:
    """One share per class, or none."""
    if weights is None:
        return
    if not isinstance(weights, list) or len(weights) != n_classes:
        raise ValueError("an annotator's weights are not one per class")
    if not all(isinstance(one, int | float) and not isinstance(one, bool) and 0 <= one <= 1 for one in weights):
        raise ValueError("an annotator's weights are no shares")


def plain_columns(table: pa.Table, names: Sequence[str]) -> pa.Table:
    """The table with columns as they are checked and read: no dictionaries, views or lists of a fixed size.

    Other tools write these for the same values, pandas a dictionary for a category.

    Args:
        table: some rows of a file.
        names: of the columns.
    """
    for name in names:
        column = table[name]
        wanted = _plain(column.type)
        if wanted != column.type:
            column.validate(full=True)
            table = table.set_column(table.schema.get_field_index(name), name, column.cast(wanted))
    return table


def _plain(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        return _plain(kind.value_type)
    if pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_fixed_size_list(kind) or pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind):
        return pa.list_(kind.value_type)
    return kind


def check_table(table: pa.Table, n_classes: int, n_annotators: int, *, sparse: bool, first: int = 0) -> None:
    """The columns, whose names are known to be there.

    Args:
        table: some rows of a file.
        n_classes: C.
        n_annotators: A.
        sparse: whether scores have class ids beside them.
        first: number of the first row in the file.
    """
    check_names(_text(table, "file_name"), _text(table, "sha256"))
    for side in ("width", "height"):
        _in_range(side, _integers(table, side), 0, 2**31)
    table["label"].validate(full=True)
    if not pa.types.is_integer(table["label"].type) and table["label"].null_count < len(table):
        raise ValueError("the column label holds no whole numbers")
    if pa.types.is_integer(table["label"].type):
        _in_range("label", np.asarray(table["label"].drop_null()).astype(np.int64), -1, n_classes)
    _check_sets("candidates", *_lists(table, "candidates", pa.types.is_integer), n_classes)
    lengths, votes = _lists(table, "votes", pa.types.is_integer)
    _of_length("votes", lengths, n_annotators, first)
    _in_range("votes", votes.astype(np.int64), -1, n_classes)
    lengths, scores = _lists(table, "scores", pa.types.is_floating)
    if sparse:
        ids = _lists(table, "score_ids", pa.types.is_integer)
        _check_sets("score_ids", *ids, n_classes)
        if not np.array_equal(lengths, ids[0]):
            raise ValueError("scores and score_ids have different lengths")
    else:
        _of_length("scores", lengths, n_classes, first)
    _check_scores(lengths, scores.astype(np.float64), first)


def repeated(names: Sequence[str]) -> str | None:
    """The first name that is there twice."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def _refuse(constant: str) -> None:
    raise ValueError(f"its metadata holds {constant}")


def _text(table: pa.Table, name: str) -> list[str]:
    column = table[name]
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        raise ValueError(f"the column {name} holds no text")
    column.validate(full=True)
    if column.null_count:
        raise ValueError(f"the column {name} has a row without a value")
    found: list[str] = column.to_pylist()
    return found


def check_names(names: Sequence[str], hashes: Sequence[str] = ()) -> None:
    """Names of files, of which none is there twice, and hashes of their contents."""
    if any(not name or "\x00" in name for name in names):
        raise ValueError("a file_name is empty")
    if twice := repeated(names):
        raise ValueError(f"the file_name {twice!r:.100} is there twice")
    wrong = next((digest for digest in hashes if not _HASH.fullmatch(digest)), None)
    if wrong is not None:
        raise ValueError(f"{wrong!r:.80} is no sha256")


def _integers(table: pa.Table, name: str) -> np.ndarray:
    column = table[name]
    if not pa.types.is_integer(column.type) or column.null_count:
        raise ValueError(f"the column {name} holds something else than whole numbers")
    return np.asarray(column.to_numpy()).astype(np.int64)


def _lists(table: pa.Table, name: str, kind: Callable[[pa.DataType], bool]) -> tuple[np.ndarray, np.ndarray]:
    """The length of every row's list, and all values in one array."""
    column = table[name]
    if not (pa.types.is_list(column.type) or pa.types.is_large_list(column.type)) or not kind(column.type.value_type):
        raise ValueError(f"the column {name} holds no lists of such numbers")
    column.validate(full=True)
    lists = column.combine_chunks()
    flat = lists.flatten()
    if lists.null_count or flat.null_count:
        raise ValueError(f"the column {name} has a row without a value")
    return np.asarray(lists.value_lengths()).astype(np.int64), np.asarray(flat)


def _of_length(name: str, lengths: np.ndarray, wanted: int, first: int) -> None:
    if len(wrong := np.flatnonzero(lengths != wanted)):
        raise ValueError(f"row {first + wrong[0]} has {lengths[wrong[0]]} {name}, not {wanted}")


def _in_range(name: str, values: np.ndarray, low: int, stop: int) -> None:
    wrong = values[(values < low) | (values >= stop)]
    if len(wrong):
        raise ValueError(f"the column {name} holds {wrong[0]}, which is not from {low} to {stop - 1}")


def _check_sets(name: str, lengths: np.ndarray, ids: np.ndarray, n_classes: int) -> None:
    _in_range(name, ids.astype(np.int64), 0, n_classes)
    places = np.repeat(np.arange(len(lengths)), lengths) * n_classes + ids.astype(np.int64)
    if len(np.unique(places)) < len(places):
        raise ValueError(f"a row of {name} holds a class twice")


def _check_scores(lengths: np.ndarray, scores: np.ndarray, first: int) -> None:
    if not np.isfinite(scores).all():
        raise ValueError("a score is no finite number")
    if len(scores) and (scores.min() < 0 or scores.max() > 1 + SLACK):
        raise ValueError(f"a score is {scores[np.argmax(np.abs(scores - 0.5))]:g}, which is not a probability")
    owners = np.repeat(np.arange(len(lengths)), lengths)
    sums = np.bincount(owners, weights=scores, minlength=len(lengths))
    if len(sums) and sums.max() > 1 + SLACK:
        raise ValueError(f"the scores of row {first + sums.argmax()} add up to {sums.max():g}")


__all__ = ["CHECKSUM", "check_meta", "check_names", "check_table", "checksum", "plain_columns", "read_meta", "repeated"]
