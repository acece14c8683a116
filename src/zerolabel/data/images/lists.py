"""The images that a list names."""

from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from zerolabel.data.images.decoding import extensions, one_line
from zerolabel.data.images.stores import Files, Found, Listed
from zerolabel.data.images.urls import is_url, joined, on_disk, opened
from zerolabel.errors import InputError
from zerolabel.errors.printable import cut
from zerolabel.errors.redaction import unique_redacted
from zerolabel.files.delimited import FILE_COLUMNS, decoded, find_column, rows

_LOOKED_AT = 100
_SHOWN = 200
SUFFIXES = (".txt", ".csv", ".tsv", ".parquet")


def find(place: str) -> Found:
    """The files in a list, each once, in the list's order.

    Args:
        place: path or URL of a .txt with a name per line, or a .csv, .tsv or .parquet whose column ``file_name``, one
            of the same meaning, or else the first column (of text) holds names; the first line may be a name already.
            Names are paths relative to the list, or URLs; see `Files` for those in a list from elsewhere.

    Raises:
        InputError: the list cannot be read, or names no image, or only files that do not exist.
    """
    base = place.rpartition("/")[0] if is_url(place) else str(Path(place).parent)
    try:
        with opened(place) as file:
            column = _column(file, PurePath(place.partition("?")[0]).suffix.lower(), base)
    except FileNotFoundError:
        raise InputError(f"there is no image, folder or list of images {place}; check the path.") from None
    except InputError as error:
        raise InputError(f"the list of images {place}: {error}") from None
    except MemoryError:
        raise
    except Exception as error:  # a driver of fsspec raises its own kinds
        raise InputError(
            f"the list of images {place} cannot be read ({one_line(error)}); write one file name per row."
        ) from None
    names = tuple(dict.fromkeys(_relative(name.strip(), base) for name in column if name.strip()))
    if not names:
        raise InputError(f"the list {place} names no image; write one file name per row.")
    if not is_url(base) and not any(is_url(name) or _exists(base, name) for name in names):
        first = cut(names[0], _SHOWN)
        raise InputError(f"no file that {place} lists exists, such as {first}; write paths relative to {base}.")
    shown = unique_redacted(names, base if is_url(base) else "")
    return Found(base, shown, Files(base) if shown == names else Listed(base, names))


def single(place: str) -> Found:
    """One image, whose name is that of its file.

    Args:
        place: path or URL.

    Raises:
        InputError: there is no such file.
    """
    if is_url(place):
        base = place.partition("?")[0].rpartition("/")[0]
        names = (place[len(base) + 1 :],)
        shown = unique_redacted(names, base)
        return Found(base, shown, Files(base) if shown == names else Listed(base, names))
    path = Path(place)
    if not path.is_file():
        raise InputError(f"there is no image, folder or list of images {place}; check the path.")
    return Found(str(path.parent), (path.name,), Files(str(path.parent)))


def _column(file: Any, suffix: str, base: str) -> Sequence[str]:
    if suffix == ".parquet":
        return _of_parquet(pq.ParquetFile(file))
    text = decoded(file.read())
    if suffix == ".txt":
        return _of_lines(text.splitlines(), base)
    table = rows(text, suffix)
    if not table:
        return []
    place = find_column(table[0], FILE_COLUMNS)
    if place is not None:
        return [row[place] for row in table[1:] if len(row) > place]
    headless = _names_an_image(table[0][0].strip(), base)
    if not headless and (of_images := _column_of_images(table)):  # such as label,file without a head
        return [row[of_images] for row in table if len(row) > of_images]
    return [row[0] for row in table[0 if headless else 1 :]]


def _of_lines(lines: Sequence[str], base: str) -> Sequence[str]:
    """A name per line; what stands behind a space is a label where no whole line names an image, and left alone."""
    kept = [line for line in lines if line.strip()]
    first = [line.rsplit(None, 1) for line in kept[:_LOOKED_AT]]
    whole = any(
        _has_extension(line) or (not is_url(base) and _exists(base, line.strip())) for line in kept[:_LOOKED_AT]
    )
    if not whole and all(len(parts) == 2 and _has_extension(parts[0]) for parts in first):
        return [line.rsplit(None, 1)[0] for line in kept]
    return kept


def _of_parquet(file: pq.ParquetFile) -> Sequence[str]:
    """The column of names: one of `FILE_COLUMNS`, else the first of text."""
    schema = file.schema_arrow
    texts = [field.name for field in schema if _is_text(field.type)]
    place = find_column(texts, FILE_COLUMNS)
    if not texts:
        found = ", ".join(f"{cut(field.name, 40)} ({cut(str(field.type), 40)})" for field in schema)
        raise InputError(f"it has the columns {found}, and none holds images or names of files; name one file_name.")
    name = texts[place or 0]
    column: pa.ChunkedArray = file.read(columns=[name])[name]
    return [str(value or "") for value in column.to_pylist()]


def _is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _names_an_image(text: str, base: str) -> bool:
    """True if the first row of a table names an image and is not a head; the image itself may be missing."""
    return _has_extension(text) or is_url(text) or (not is_url(base) and _exists(base, text))


def _has_extension(text: str) -> bool:
    return PurePath(text.strip().partition("?")[0]).suffix.lower() in extensions()


def _column_of_images(table: Sequence[Sequence[str]]) -> int:
    """The first column whose cells, from the first line on, have the extension of an image; 0 without one."""
    first = table[:_LOOKED_AT]
    width = min(map(len, first))
    return next((place for place in range(1, width) if all(_has_extension(row[place]) for row in first)), 0)


def _exists(base: str, name: str) -> bool:
    try:
        return Path(on_disk(joined(base, name))).is_file()
    except (OSError, ValueError):  # no name at all: too long, or with a zero byte
        return False


def _relative(name: str, base: str) -> str:
    if is_url(name) or is_url(base):
        return name
    path, root = PurePath(name), Path(base).absolute()
    return (path.relative_to(root) if path.is_absolute() and path.is_relative_to(root) else path).as_posix()
