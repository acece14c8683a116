"""Matrices in files, of which a range of rows is read at a time."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
from jaxtyping import Shaped
from safetensors import SafetensorError, safe_open

from zerolabel.errors import InputError
from zerolabel.files import parquet

NUMBERS = (np.float16, np.float32, np.float64)
_SAFETENSORS = {"F16": np.float16, "F32": np.float32, "F64": np.float64}


@runtime_checkable
class Rows(Protocol):
    """A matrix in a file."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns."""
        ...

    def __getitem__(self, rows: slice, /) -> Shaped[np.ndarray, "n D"]:
        """Some of its rows."""
        ...


@dataclass(frozen=True)
class Block:
    """The embeddings in one file.

    Attributes:
        path: of the file.
        rows: its matrix.
    """

    path: Path
    rows: Rows

    def __len__(self) -> int:
        return self.rows.shape[0]


@dataclass(frozen=True)
class Slices:
    """A matrix in a safetensors file, which is mapped whenever a part of it is read.

    Attributes:
        path: of the file.
        name: of the matrix.
        shape: rows and columns.
    """

    path: Path
    name: str
    shape: tuple[int, ...]

    def __getitem__(self, rows: slice, /) -> Shaped[np.ndarray, "n D"]:
        with safe_open(self.path, "np") as file:
            return np.asarray(file.get_slice(self.name)[rows])


def of_npy(path: Path) -> Block:
    """A .npy file, mapped into memory.

    Raises:
        InputError: it is damaged, or no matrix of numbers.
    """
    try:
        rows = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(
            f"the embeddings {path} cannot be read ({_reason(error)}); save them with numpy.save."
        ) from None
    return Block(path, checked(path, rows, rows.dtype))


def of_safetensors(path: Path, name: str | None = None) -> Block:
    """A matrix of a safetensors file.

    Args:
        path: of the file.
        name: of the matrix; none takes the only one there is.

    Raises:
        InputError: the file is damaged, or holds no such matrix, or several.
    """
    try:
        with safe_open(path, "np") as file:
            slices = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118  # it is no dictionary
            shapes = {key: (tuple(one.get_shape()), one.get_dtype()) for key, one in slices.items()}
    except (OSError, SafetensorError, ValueError) as error:
        raise InputError(f"the embeddings {path} cannot be read ({_reason(error)}); write the file again.") from None
    found = [key for key, (shape, _) in shapes.items() if len(shape) == 2] if name is None else [name]
    if len(found) != 1 or found[0] not in shapes:
        held = ", ".join(shapes) or "nothing"
        raise InputError(f"the embeddings {path} hold {held}; give a file with one matrix, N x D.")
    shape, kind = shapes[found[0]]
    return Block(path, checked(path, Slices(path, found[0], shape), _SAFETENSORS.get(kind, kind)))


def of_parquet(path: Path, column: str) -> Block:
    """A column of vectors in a parquet file, copied row group by row group into a temporary file that is mapped.

    Raises:
        InputError: its vectors have different lengths, or one is missing.
    """
    file = parquet.opened(path)
    spool = tempfile.TemporaryFile()  # noqa: SIM115  # open as long as it is mapped
    width = count = 0
    for group in file.iter_batches(8192, columns=[column]):
        lists = group.column(0)
        flat, n = lists.flatten(), len(lists)
        own = len(flat) // max(n, 1)
        lengths = np.diff(np.asarray(lists.offsets)) if not pa.types.is_fixed_size_list(lists.type) else np.full(n, own)
        if lists.null_count or flat.null_count or own != (width or own) or bool((lengths != own).any()):
            raise InputError(
                f"the embeddings in column {column} of {path} differ in length or are missing, first in rows "
                f"{count:,} to {count + n:,}; give every row a vector of the same length."
            )
        width, count = own, count + n
        spool.write(np.asarray(flat, np.float32).tobytes())
    spool.flush()
    rows = (
        np.memmap(spool, np.float32, "r", shape=(count, width)) if count * width else np.zeros((0, width), np.float32)
    )
    return Block(path, checked(path, rows, rows.dtype))


def vector_column(schema: pa.Schema) -> str | None:
    """Name of the column that holds lists of floats, the first of several; none where there is none."""
    return next((field.name for field in schema if _is_vector(field.type)), None)


def checked(path: Path, rows: Rows, kind: object) -> Rows:
    """The matrix, if it is one of numbers.

    Raises:
        InputError: it is not.
    """
    if len(rows.shape) != 2 or kind not in NUMBERS or not rows.shape[1]:
        shape = " x ".join(map(str, rows.shape)) or "no shape"
        raise InputError(
            f"{path} holds {shape} values of type {getattr(kind, '__name__', kind)}; embeddings are N x D of float16, "
            "float32 or float64."
        )
    return rows


def same_width(blocks: Sequence[Block]) -> int:
    """D of all blocks.

    Raises:
        InputError: they differ.
    """
    first = blocks[0]
    for block in blocks:
        if block.rows.shape[1] != first.rows.shape[1]:
            raise InputError(
                f"the embeddings in {block.path} have {block.rows.shape[1]} dimensions and those in {first.path} "
                f"{first.rows.shape[1]}; give embeddings of one model."
            )
    return first.rows.shape[1]


def _is_vector(kind: pa.DataType) -> bool:
    nested = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return bool(nested and pa.types.is_floating(kind.value_type))


def _reason(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


__all__ = ["Block", "Rows", "of_npy", "of_parquet", "of_safetensors", "same_width", "vector_column"]
