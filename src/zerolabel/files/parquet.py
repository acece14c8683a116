"""Parquet files of this machine, where a path is a path whatever its characters.

pyarrow takes a relative path with a colon, such as ``run 12:30``, for the address of another file system, and a folder
``split=train`` for a column of the files in it.
"""

import os
from collections.abc import Iterator

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

Place = str | os.PathLike[str]
_HERE = fs.LocalFileSystem()


def opened(path: Place, *, checked: bool = False) -> pq.ParquetFile:
    """A file whose row groups can be read one by one; ``checked`` compares the checksums of its pages."""
    return pq.ParquetFile(_plain(path), filesystem=_HERE, page_checksum_verification=checked)


def read(path: Place, columns: list[str] | None = None, *, checked: bool = False) -> pa.Table:
    """All rows, of all columns or those named; ``checked`` as in `opened`."""
    with opened(path, checked=checked) as file:
        return file.read(columns=columns)


def batches(path: Place, size: int, columns: list[str] | None = None, *, checked: bool = False) -> Iterator[pa.Table]:
    """The rows in order, at most so many at a time; ``columns`` and ``checked`` as in `read`."""
    with opened(path, checked=checked) as file:
        for batch in file.iter_batches(size, columns=columns):
            yield pa.Table.from_batches([batch])


def read_frame(path: Place) -> pd.DataFrame:
    """All rows as a frame."""
    frame: pd.DataFrame = read(path).to_pandas()
    return frame


def schema(path: Place) -> pa.Schema:
    """Names, types and metadata of the columns."""
    return pq.read_schema(_plain(path), filesystem=_HERE)


def length(path: Place) -> int:
    """Number of rows.

    Raises:
        ValueError: it is not the sum of the row groups' numbers.
    """
    with opened(path) as file:
        told = file.metadata
        found = sum(told.row_group(i).num_rows for i in range(told.num_row_groups))
        if found != told.num_rows:
            raise ValueError(f"it has {found} rows, not {told.num_rows}")
        return int(found)


def write(table: pa.Table, path: Place, *, row_group_size: int | None = None) -> None:
    """Write a table, with a checksum of every page."""
    pq.write_table(table, _plain(path), row_group_size=row_group_size, write_page_checksum=True, filesystem=_HERE)


def write_frame(frame: pd.DataFrame, path: Place) -> None:
    """Write a frame without its index."""
    write(pa.Table.from_pandas(frame, preserve_index=False), path)


def writer(path: Place, columns: pa.Schema) -> pq.ParquetWriter:
    """A file that is written table by table, with a checksum of every page."""
    return pq.ParquetWriter(_plain(path), columns, write_page_checksum=True, filesystem=_HERE)


def _plain(path: Place) -> str:
    """A path that begins with a dot or a slash, as no address does."""
    return os.path.join(os.curdir, path)


__all__ = ["batches", "length", "opened", "read", "read_frame", "schema", "write", "write_frame", "writer"]
