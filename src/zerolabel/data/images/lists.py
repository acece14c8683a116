"""The images that a list names."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from zerolabel.data.images.decoding import extensions, one_line
from zerolabel.data.images.stores import Files, Found, Listed
from zerolabel.data.images.urls import is_url, joined, on_disk, opened
from zerolabel.errors import InputError
from zerolabel.redaction import unique_redacted

SUFFIXES = (".txt", ".csv", ".tsv", ".parquet")


def find(place: str) -> Found:
    """The files in a list, each once, in the list's order.

    Args:
        place: path or URL of a .txt with a name per line, or a .csv, .tsv or .parquet whose column ``file_name``
            (or first column) holds names. Names are paths relative to the list, or URLs.

    Raises:
        InputError: the list cannot be read, or names no image, or only files that do not exist.
    """
    base = place.rpartition("/")[0] if is_url(place) else str(Path(place).parent)
    try:
        with opened(place) as file:
            column = _column(file, PurePath(place.partition("?")[0]).suffix.lower(), base)
    except FileNotFoundError:
        raise InputError(f"there is no folder or list of images {place}; check the path.") from None
    except (InputError, MemoryError):
        raise
    except Exception as error:  # a driver of fsspec raises its own kinds
        raise InputError(
            f"the list of images {place} cannot be read ({one_line(error)}); write one file name per row."
        ) from None
    names = tuple(dict.fromkeys(_relative(name.strip(), base) for name in column if name.strip()))
    if not names:
        raise InputError(f"the list {place} names no image; write one file name per row.")
    if not is_url(base) and not any(is_url(name) or _exists(base, name) for name in names):
        raise InputError(f"no file that {place} lists exists, such as {names[0]}; write paths relative to {base}.")
    shown = unique_redacted(names, base if is_url(base) else "")
    return Found(base, shown, Files(base) if shown == names else Listed(base, names))


def _column(file: Any, suffix: str, base: str) -> Sequence[str]:
    if suffix == ".parquet":
        table = pq.ParquetFile(file)
        names: list[str] = table.schema_arrow.names
        name = "file_name" if "file_name" in names else names[0]
        column: pa.ChunkedArray = table.read(columns=[name])[name]
        return [str(value or "") for value in column.to_pylist()]
    text = file.read().decode("utf-8-sig")
    if suffix == ".txt":
        return text.splitlines()  # type: ignore[no-any-return]
    rows = [
        row for row in csv.reader(io.StringIO(text, newline=""), delimiter="\t" if suffix == ".tsv" else ",") if row
    ]
    if not rows:
        return []
    place = rows[0].index("file_name") if "file_name" in rows[0] else 0
    headless = "file_name" not in rows[0] and _names_an_image(rows[0][0].strip(), base)
    return [row[place] for row in rows[0 if headless else 1 :] if len(row) > place]


def _names_an_image(text: str, base: str) -> bool:
    """Whether the first cell of a table is an image already, and no head."""
    if is_url(text) or is_url(base):
        return PurePath(text.partition("?")[0]).suffix.lower() in extensions()
    return _exists(base, text)


def _exists(base: str, name: str) -> bool:
    return Path(on_disk(joined(base, name))).is_file()


def _relative(name: str, base: str) -> str:
    if is_url(name) or is_url(base):
        return name
    path, root = PurePath(name), Path(base).absolute()
    return (path.relative_to(root) if path.is_absolute() and path.is_relative_to(root) else path).as_posix()
