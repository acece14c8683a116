"""Tables of file names and labels: CSV and similar formats, parquet, and lines of a name and a label."""

import re
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from zerolabel.data.images.decoding import extensions, one_line
from zerolabel.errors import InputError
from zerolabel.files import parquet
from zerolabel.files.delimited import FILE_COLUMNS, LABEL_COLUMNS, body, decoded, find_column, rows

_PAIR = re.compile(r"(\S.*?)\s+(\S+)")


def read_rows(path: Path) -> list[tuple[str, str]]:
    """File name and label of each row, as text; an empty label where there is none.

    The columns are called ``file_name`` and ``label``, or by one of the other names in `zerolabel.files.delimited`; two
    columns without a head are understood where one of them holds names of images. Lines without a separator hold a name
    of an image, spaces, and a label.

    Args:
        path: a table with commas, semicolons or tabs, or a parquet file.

    Raises:
        InputError: it cannot be read, or has other columns.
    """
    try:
        if path.suffix.lower() == ".parquet":
            return _parquet(path)
        return _text(path)
    except InputError as error:
        raise InputError(f"the labels {path}: {error}") from None
    except (OSError, ValueError, pa.ArrowException) as error:
        raise InputError(f"the labels {path} cannot be read ({one_line(error)}); give a CSV or parquet.") from None


def _text(path: Path) -> list[tuple[str, str]]:
    text = decoded(path.read_bytes())
    table = rows(text, path.suffix.lower())
    if not table:
        raise ValueError("there is no row")
    places = _places(table[0])
    if places is not None:
        return [(row[places[0]], row[places[1]].strip()) for row in body(table, 1, len(table[0]), places[:1])]
    if (column := _column_of_images(table)) is not None and len(table[0]) == 2:
        return [(row[column], row[1 - column].strip()) for row in body(table, 0, 2, (0, 1))]
    pairs = [_PAIR.fullmatch(line.strip()) for line in text.splitlines() if line.strip()]
    found = [(pair[1], pair[2]) for pair in pairs if pair is not None and is_image(pair[1])]
    if found and len(found) == len(pairs):
        return found
    raise _missing(table[0])


def _parquet(path: Path) -> list[tuple[str, str]]:
    file = parquet.opened(path)
    schema = file.schema_arrow
    heads = [
        "" if pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type) else field.name for field in schema
    ]
    places = _places(heads)
    if places is None:
        raise _missing(schema.names)
    names, labels = (heads[place] for place in places)
    of_names = f"{names}.path" if pa.types.is_struct(schema.field(places[0]).type) else names  # never its bytes
    table = file.read(columns=[of_names, labels])
    return [
        (_word(name.get("path") if isinstance(name, dict) else name), _word(label))
        for name, label in zip(table[names].to_pylist(), table[labels].to_pylist(), strict=True)
    ]


def _places(heads: Sequence[str]) -> tuple[int, int] | None:
    """Columns of the file names and of the labels; None where the heads name neither.

    Raises:
        InputError: they name one of the two.
    """
    file, label = find_column(heads, FILE_COLUMNS), find_column(heads, LABEL_COLUMNS)
    if file is None and label is None:
        return None
    if file is None or label is None or file == label:
        raise _missing(heads)
    return file, label


def _missing(heads: Sequence[str]) -> InputError:
    lacks = "label" if find_column(heads, FILE_COLUMNS) is not None else "file_name"
    found = ", ".join(head.strip()[:40] for head in heads[:20])
    return InputError(f"it has no column {lacks} but {found}; name its columns file_name,label.")


def is_image(name: str) -> bool:
    """True if a cell has the extension of an image."""
    return Path(name.strip().partition("?")[0]).suffix.lower() in extensions()


def _column_of_images(table: Sequence[Sequence[str]]) -> int | None:
    """The one column in which the first cells have the extension of an image."""
    first = table[:20]
    found = [place for place in range(len(table[0])) if all(len(row) > place and is_image(row[place]) for row in first)]
    return found[0] if len(found) == 1 else None


def _word(value: object) -> str:
    """A cell of a parquet file as text; a whole number without a fraction, nothing for a missing one."""
    if value is None or value != value:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value).strip()
