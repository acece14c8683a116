"""Tables as text (CSV and similar formats): any separator is read, and what is written no spreadsheet runs.

A spreadsheet takes a cell that begins with ``=``, ``+``, ``-``, ``@``, a tab or a line break for a formula. Such a cell
is written with an apostrophe before it, which `read` takes off again; plain numbers, such as -1, stay as they are.
"""

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

import pandas as pd

from zerolabel.errors import InputError

FILE_COLUMNS = (
    *("file_name", "filename", "path", "file_path", "filepath"),
    *("image_path", "image_file", "image_name", "image", "img", "file"),
)
"""Heads of the column of file names, the likeliest first; case, spaces and hyphens make no difference."""
LABEL_COLUMNS = ("label", "labels", "class", "class_name", "category")
"""Heads of the column of labels, the likeliest first."""

_SEPARATORS = (",", ";", "\t")
_WITH_HEAD = (*_SEPARATORS, "|")
"""A bar is taken for a separator only where it separates known heads, since it stands in names as well."""
_STATED = re.compile(r'"?sep=([,;\t|])"?\r?\n', re.IGNORECASE)
"""First line of a file for Excel."""
_LOOKED_AT = 100
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_FORMULA = re.compile("'*[=+\\-@\t\r\n＝＋－＠]")
_GUARDED = re.compile("'+[=+\\-@\t\r\n＝＋－＠]")


@runtime_checkable
class Writable(Protocol):
    """An open text file."""

    def write(self, text: str, /) -> object:
        """Append a text."""
        ...


def safe(value: object) -> object:
    """A cell that no spreadsheet executes; what is no text stays as it is."""
    if not isinstance(value, str) or not _FORMULA.match(value) or _NUMBER.fullmatch(value):
        return value
    return f"'{value}"


def original(cell: str) -> str:
    """Undo `safe`."""
    return cell[1:] if _GUARDED.match(cell) else cell


def write(file: Writable, rows: Iterable[Iterable[object]], separator: str = ",") -> None:
    """Write rows to an open text file, every cell `safe`."""
    csv.writer(_Lines(file), delimiter=separator).writerows(map(safe, row) for row in rows)


class _Lines:
    """Ends the lines of `csv.writer` with one line break; it quotes both kinds only where lines end with both."""

    def __init__(self, file: Writable) -> None:
        self.file = file

    def write(self, line: str) -> None:
        self.file.write(f"{line[:-2]}\n")


def write_table(table: pd.DataFrame, target: Any, separator: str = ",") -> None:
    """Write a table to a path or an open text file, every text `safe`."""
    shown = safe_table(table)
    text = shown.select_dtypes(exclude="number")
    returns = any("\r" in str(cell) for column in (text.columns, *(text[name] for name in text)) for cell in column)
    quoting: Literal[0, 2] = csv.QUOTE_NONNUMERIC if returns else csv.QUOTE_MINIMAL  # the latter leaves \r unquoted
    shown.to_csv(target, index=False, sep=separator, lineterminator="\n", quoting=quoting)


def safe_table(table: pd.DataFrame) -> pd.DataFrame:
    """A table whose texts and heads are `safe`."""
    done = table.rename(columns=safe)
    for place in range(table.shape[1]):
        if not pd.api.types.is_numeric_dtype(table.iloc[:, place]):
            done.isetitem(place, list(table.iloc[:, place].map(safe)))
    return done


def decoded(data: bytes) -> str:
    """Text in UTF-8, or in UTF-16 or UTF-32 with a byte order mark, as spreadsheets write it, or beginning with ASCII.

    Raises:
        ValueError: it is neither.
    """
    try:
        if data[:4] in (b"\xff\xfe\0\0", b"\0\0\xfe\xff"):
            return data.decode("utf-32")
        if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
            text = data.decode("utf-16")
            if not re.search("[\x20-\x7e]", text):
                raise ValueError("it is not text in UTF-8")
            return text
        for encoding, zeros in (("utf-16-le", data[1:200:2]), ("utf-16-be", data[:200:2])):
            if zeros and not any(zeros):
                return data.decode(encoding)
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not text in UTF-8: byte {error.start} is none") from None


def rows(text: str, suffix: str = ".csv") -> list[list[str]]:
    """The cells of each line that is not empty, without what `safe` put before them.

    The separator is the one that a first line such as ``sep=;`` states; else the comma, the semicolon, the tab or the
    bar, under which the first line holds the name of a known column; else the one of the first three that gives every
    line the same number of cells, two or more; else what the extension says.

    Args:
        text: the content of the file.
        suffix: its extension, in lower case.

    Raises:
        ValueError: a quoted cell does not end, or there is something behind its end.
    """
    if stated := _STATED.match(text):
        return _cells(text[stated.end() :], stated[1])
    usual = "\t" if suffix == ".tsv" else ","
    order, with_head = (sorted(some, key=lambda one: one != usual) for some in (_SEPARATORS, _WITH_HEAD))
    found = next(filter(_test(text, _has_head), with_head), None)
    return _cells(text, found or next(filter(_test(text, _is_even), order), usual))


def _cells(text: str, separator: str) -> list[list[str]]:
    return [[original(cell) for cell in row] for row in _parsed(text, separator) if row]


def _test(text: str, fits: Callable[[list[list[str]]], bool]) -> Callable[[str], bool]:
    """True if the first lines, split by a separator, have a property."""

    def tested(separator: str) -> bool:
        try:
            first = [row for row, _ in zip(_reader(text, separator), range(_LOOKED_AT), strict=False) if row]
        except csv.Error:
            return False
        return bool(first) and fits(first)

    return tested


def _has_head(first: list[list[str]]) -> bool:
    return len(first[0]) > 1 and any(column_name(cell) in (*FILE_COLUMNS, *LABEL_COLUMNS) for cell in first[0])


def _is_even(first: list[list[str]]) -> bool:
    return len(first[0]) > 1 and all(len(row) == len(first[0]) for row in first)


def _parsed(text: str, separator: str) -> list[list[str]]:
    try:
        return list(_reader(text, separator))
    except csv.Error as error:
        raise ValueError(f"{error}; quote cells as spreadsheets do") from None


def _reader(text: str, separator: str) -> Iterator[list[str]]:
    return csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)


def column_name(cell: str) -> str:
    """A head without the differences that make no other column."""
    return re.sub(r"[\s-]+", "_", cell.strip()).casefold()


def find_column(heads: Sequence[str], known: Sequence[str]) -> int | None:
    """The place of the column with the likeliest of the known names; None without one.

    Raises:
        InputError: two columns have that name.
    """
    names = [column_name(head) for head in heads]
    for name in known:
        if names.count(name) > 1:
            raise InputError(f"two columns are called {name}; leave one.")
        if name in names:
            return names.index(name)
    return None


def body(table: Sequence[Sequence[str]], first: int, width: int, needed: Iterable[int]) -> list[list[str]]:
    """The rows below the head, each with ``width`` cells; cells that a line lacks at the end are empty.

    Args:
        table: all rows.
        first: where the rows begin.
        width: number of columns.
        needed: columns that a line may not lack, if it is to say anything.

    Raises:
        ValueError: a line has more cells than columns, such as an unquoted separator gives, or lacks a needed one.
    """
    done = []
    for number, row in enumerate(table[first:], first + 1):
        if any(cell.strip() for cell in row[width:]):
            raise ValueError(f"row {number} has {len(row)} cells for {width} columns; quote cells that hold separators")
        if not any(cell.strip() for cell in row):
            continue
        if any(place >= len(row) for place in needed):
            raise ValueError(f"row {number} has {len(row)} cells for {width} columns; it may be cut off")
        done.append([*row[:width], *[""] * (width - len(row))])
    return done
