"""The one atomic writer: a file is there whole or not at all, and a failure to write is a sentence."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zerolabel.errors import InputError
from zerolabel.errors.printable import is_sound, visible
from zerolabel.files.leftovers import partial_before, partial_of

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Of a disk that is full, a quota that is used up, and a file that may not grow."""
_ELSEWHERE = "give another place with -o, or with --cache for the features of images"


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turn a failure to write into a sentence.

    Raises:
        InputError: the disk is full, the folder cannot be written, or its name is no UTF-8, as some libraries need.
    """
    if not is_sound(str(folder)):
        raise InputError(f"the name of the folder {visible(str(folder))} is no UTF-8; {_ELSEWHERE}.")
    try:
        yield
    except OSError as error:
        number = error.errno or next((code for code in FULL if f"(os error {code})" in str(error)), None)
        if number == errno.EFBIG:
            raise InputError(f"{folder} cannot be written (no file of this size fits); {_ELSEWHERE}.") from None
        if number in FULL:
            raise InputError(
                f"the disk is full at {folder}; free some space and continue with --resume, or {_ELSEWHERE}."
            ) from None
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
