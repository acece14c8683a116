"""Images inside parquet files, as Hugging Face data sets keep them."""

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import PurePosixPath

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Int

from zerolabel.data.images.decoding import Unreadable, is_image_content, one_line
from zerolabel.data.images.stores import Found
from zerolabel.data.images.urls import content, is_url, joined, opened
from zerolabel.errors import InputError

_KEPT = 4
"""Row groups in memory: reading in order touches one or two."""

_PLAIN = ("image", "img", "bytes", "jpg", "jpeg", "png", "picture", "photo", "webp")
"""Usual names of a column of images."""
_reading = threading.Lock()


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of parquet files.

    Attributes:
        files: paths or URLs.
        column: name of the images' column in each.
        groups: file and number of each row group.
        starts: the row of the store that each row group begins with.
    """

    files: tuple[str, ...]
    column: tuple[str, ...]
    groups: Int[np.ndarray, "G 2"]
    starts: Int[np.ndarray, " G"]

    def read(self, row: int, name: str) -> bytes:
        """Read an image; see `zerolabel.data.images.stores.Store.read`."""
        group = int(np.searchsorted(self.starts, row, side="right")) - 1
        file, number = self.groups[group].tolist()
        try:
            with _reading:
                column = _row_group(self.files[file], number, self.column[file])
        except Exception as error:  # damaged pages and drivers raise almost anything
            raise Unreadable(f"row group {number} of the file is damaged ({one_line(error)})") from None
        value = column[row - int(self.starts[group])].as_py()
        data, path = (value.get("bytes"), value.get("path")) if isinstance(value, dict) else (value, None)
        return data if data is not None else _beside(self.files[file], path)


def image_column(place: str) -> str | None:
    """The first column of images; None without one.

    That is a structure with ``bytes`` (or, under a usual name, with ``path`` alone), else bytes under a usual name,
    else bytes whose first value is an image. Bytes may be large, of fixed length, or kept in a dictionary.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        with opened(place) as file:
            parquet = pq.ParquetFile(file)
            schema = parquet.schema_arrow
            structures = [field.name for field in schema if _is_structure(field)]
            plain = [field.name for field in schema if _is_binary(field.type)]
            usual = [name for name in plain if name.lower() in _PLAIN]
            others = (name for name in plain if _begins_with_an_image(parquet, name))
            return next(chain(structures, usual, others), None)
    except FileNotFoundError:
        raise InputError(f"there is no image, folder or list of images {place}; check the path.") from None
    except InputError:
        raise
    except Exception as error:  # damaged footers and drivers raise almost anything
        raise InputError(f"{place} cannot be read ({one_line(error)}); give a parquet file.") from None


def find(places: Sequence[str], base: str | None = None) -> Found:
    """The images of parquet files, in the order of the files and of their rows.

    A name is that of the file, then the path stored with the image where these differ within the file, else the
    row's number. One row group is read at a time and a few are kept in memory, so they should be small.

    Args:
        places: paths or URLs.
        base: the folder that the files' names are relative to; by default that of the first file.

    Raises:
        InputError: a file cannot be read or has no column of images, or there is no row.
    """
    root = base or (places[0].rpartition("/")[0] if is_url(places[0]) else os.path.dirname(places[0])) or "."
    names: list[str] = []
    columns: list[str] = []
    groups: list[tuple[int, int]] = []
    starts: list[int] = []
    for number, place in enumerate(places):
        column = image_column(place)
        if column is None:
            raise InputError(f"{place} has no column of images; leave it out.")
        columns.append(column)
        start = len(names)
        with opened(place) as file:
            parquet = pq.ParquetFile(file)
            names += _names(parquet, column, _relative(place, root))
            for group in range(parquet.num_row_groups):
                groups.append((number, group))
                starts.append(start)
                start += parquet.metadata.row_group(group).num_rows
    if not names:
        raise InputError(f"there is no image in {places[0]}; give a file with rows.")
    store = Rows(tuple(places), tuple(columns), np.array(groups).reshape(-1, 2), np.array(starts))
    return Found(root, tuple(names), store)


@lru_cache(_KEPT)
def _row_group(place: str, number: int, column: str) -> pa.ChunkedArray:
    with opened(place) as file:
        return pq.ParquetFile(file).read_row_group(number, columns=[column])[column]


def _names(parquet: pq.ParquetFile, column: str, file: str) -> list[str]:
    count, paths = parquet.metadata.num_rows, []
    if pa.types.is_struct(kind := parquet.schema_arrow.field(column).type) and kind.get_field_index("path") >= 0:
        table = parquet.read(columns=[f"{column}.path"])[column]
        paths = [PurePosixPath(str(value["path"] or "")).name for value in table.to_pylist() if value]
    if len(set(filter(None, paths))) == count:
        return [f"{file}/{path}" for path in paths]
    return [f"{file}/{row:0{len(str(max(count - 1, 0)))}}" for row in range(count)]


def _beside(place: str, path: str | None) -> bytes:
    """An image that is stored by its path; it must lie below the parquet file's folder."""
    if not path:
        raise Unreadable("the row holds no image")
    parts = path.replace("\\", "/").split("/")
    if parts[0] == "" or ".." in parts or is_url(path) or ":" in parts[0]:
        raise Unreadable("its path leads out of the data set, refused")
    base = place.rpartition("/")[0] if is_url(place) else os.path.dirname(place)
    return content(joined(base, path), guarded=is_url(place))


def _relative(place: str, root: str) -> str:
    return place[len(root) :].lstrip("/") if is_url(place) else os.path.relpath(place, root).replace(os.sep, "/")


def _is_structure(field: pa.Field) -> bool:
    """True if a column contains images as structures of ``bytes`` and ``path``."""
    kind = field.type
    if not pa.types.is_struct(kind):
        return False
    children = {name: kind.field(place).type for place, name in enumerate(kind.names)}
    if "bytes" in children and _is_binary(children["bytes"]):
        return True
    nothing = "bytes" not in children or pa.types.is_null(children["bytes"])
    return "path" in children and nothing and field.name.lower() in _PLAIN


def _is_binary(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    tests = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view, pa.types.is_fixed_size_binary)
    return any(test(kind) for test in tests)


def _begins_with_an_image(parquet: pq.ParquetFile, column: str) -> bool:
    """True if the first value of a column is the content of an image."""
    for batch in parquet.iter_batches(batch_size=8, columns=[column]):
        for value in batch.column(0).to_pylist():
            if value is not None:
                return is_image_content(value)
    return False
