"""The one atomic writer: a file is there whole or not at all, and a failure to write is a sentence."""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zerolabel.errors import DiskFullError, InputError
from zerolabel.errors.printable import is_sound, visible
from zerolabel.files.leftovers import partial_before, partial_of

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Of a disk that is full, a quota that is used up, and a file that may not grow."""
_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+:/")
"""Begins a URL, of which a path keeps one slash."""
_ELSEWHERE = "give another place with -o, or with --cache for the features of images"


def check_place(folder: Path, option: str = "-o") -> None:
    """Check that a folder to write is one of this machine.

    Args:
        folder: to write.
        option: that named it.

    Raises:
        InputError: it was given as a URL, or its name is no UTF-8, as some libraries need.
    """
    if _URL.match(str(folder)):
        raise InputError(f"{option} {folder} is a URL; give a folder of this machine, and copy what is written there.")
    if not is_sound(str(folder)):
        raise InputError(f"the name of the folder {visible(str(folder))} is no UTF-8; give {option} another one.")


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turn a failure to write into a sentence.

    Raises:
        InputError: the disk is full, the folder cannot be written, or its name is no UTF-8, as some libraries need.
    """
    check_place(folder)
    try:
        yield
    except OSError as error:
        number = error.errno or next((code for code in FULL if f"(os error {code})" in str(error)), None)
        if number in FULL:
            what = "the disk is full" + ", or takes no file of this size," * (number == errno.EFBIG)
            raise DiskFullError(f"{what} at {folder}; free some space, or {_ELSEWHERE}.") from None
        reason = (str(error.strerror or error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{folder} cannot be written ({reason}); {_ELSEWHERE}.") from None


@contextmanager
def atomic(path: Path, *, keep_ending: bool = False) -> Iterator[Path]:
    """A file to write beside ``path``, which takes its place at the end, whole or not at all.

    Args:
        path: of the finished file; its folder exists.
        keep_ending: True to name the unfinished file with the ending of ``path``, for libraries that go by it.

    Raises:
        OSError: the disk is full or the folder cannot be written.
    """
    partial = partial_before(path) if keep_ending else partial_of(path)
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def replacing(path: Path, *, keep_ending: bool = False) -> Iterator[Path]:
    """Like `atomic`; creates the folder and raises a readable error.

    Raises:
        InputError: the disk is full or the folder cannot be written.
    """
    with writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic(path, keep_ending=keep_ending) as partial:
            yield partial


def write_text(path: Path, text: str) -> None:
    r"""Write a file whole or not at all; halves of surrogate pairs, as in paths that are no UTF-8, become ``\udcXX``.

    JSON with such an escape gives the same path again.
    """
    with atomic(path) as partial:
        partial.write_text(text, encoding="utf-8", errors="backslashreplace")
