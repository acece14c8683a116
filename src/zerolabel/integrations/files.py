"""Files of other tools: matrices and tables, written whole or not at all."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from zerolabel.errors import InputError
from zerolabel.files import delimited, parquet, replacing
from zerolabel.files.delimited import FILE_COLUMNS, LABEL_COLUMNS, body, decoded, find_column, rows


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` make a file beside, which then takes the place of ``path``.

    Raises:
        InputError: the disk is full or the folder cannot be written.
    """
    with replacing(path, keep_ending=True) as partial:
        write(partial)


def write_text(path: Path, text: str) -> None:
    """Write a text in UTF-8."""
    write_whole(path, lambda partial: partial.write_text(text, encoding="utf-8", errors="backslashreplace"))


def write_matrix(path: Path, matrix: np.ndarray) -> None:
    """Write a matrix as .npy, or as .csv without a head."""
    integers = np.issubdtype(matrix.dtype, np.integer)
    if path.suffix.lower() == ".npy":
        write_whole(path, lambda partial: np.save(partial, matrix, allow_pickle=False))
    else:
        form = "%d" if integers else "%.9g"
        write_whole(path, lambda partial: np.savetxt(partial, matrix, delimiter=",", fmt=form))


def read_matrix(path: Path, rows: int) -> np.ndarray:
    """Read a matrix written by `write_matrix` or by another tool.

    Args:
        path: a .npy or .csv file.
        rows: as many as there are images.

    Raises:
        InputError: it is damaged, no matrix, or has another number of rows.
    """
    try:
        matrix = _mapped(path) if path.suffix.lower() == ".npy" else _parsed(path)
    except Exception as error:  # numpy reads heads with Python's own parser, which raises almost anything
        reason = (str(error).splitlines() or [""])[0]
        raise InputError(f"{path} cannot be read ({reason}); give a matrix of numbers.") from None
    if matrix is None or matrix.ndim != 2 or matrix.dtype.kind not in "iuf":
        raise InputError(f"{path} is not a matrix of numbers; give one row per image.")
    if len(matrix) != rows:
        raise InputError(f"{path} has {len(matrix)} rows for {rows} images; give one row per image, in their order.")
    return matrix


def _mapped(path: Path) -> np.ndarray | None:
    """A .npy file as a map, which reserves no memory for what its head claims; None for an archive of several."""
    found = np.load(path, mmap_mode="r", allow_pickle=False)
    return found if isinstance(found, np.ndarray) else None


def _parsed(path: Path) -> np.ndarray:
    """Lines of numbers with commas between."""
    text = decoded(path.read_bytes())
    if not text.strip():
        raise ValueError("it is empty")
    return np.loadtxt(io.StringIO(text), delimiter=",", ndmin=2)


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as .parquet, .tsv or .csv."""
    match path.suffix.lower():
        case ".parquet":
            write_whole(path, lambda partial: parquet.write_frame(table, partial))
        case ".tsv":
            write_whole(path, lambda partial: delimited.write_table(table, partial, "\t"))
        case _:
            write_whole(path, lambda partial: delimited.write_table(table, partial))


def read_table(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    """A table of texts, an empty one where there was nothing.

    The columns ``file_name`` and ``label`` may have one of the other names in `zerolabel.files.delimited`.

    Raises:
        InputError: it is damaged or lacks a column.
    """
    try:
        if path.suffix.lower() == ".parquet":
            table = parquet.read_frame(path)
            table = table.astype(object).where(table.notna(), "").astype(str)
        else:
            cells = rows(decoded(path.read_bytes()), path.suffix.lower()) or [[]]
            heads = [head.strip() for head in cells[0]]
            table = pd.DataFrame(body(cells, 1, len(heads), ()), columns=heads, dtype=object)
    except (OSError, ValueError, pa.ArrowException) as error:
        reason = (str(error).splitlines() or [""])[0]
        raise InputError(f"{path} cannot be read ({reason}); give a CSV or parquet.") from None
    if not len(table.columns):
        raise InputError(f"{path} is empty; give a table with a head.")
    for name, known in (("file_name", FILE_COLUMNS), ("label", LABEL_COLUMNS)):
        place = find_column([str(head) for head in table.columns], known) if name in columns else None
        if place is not None and name not in table.columns:
            table = table.rename(columns={table.columns[place]: name})
    for column in columns:
        if column not in table.columns:
            raise InputError(f"{path} has no column {column} but {', '.join(map(str, table.columns))}; name it so.")
    return table
