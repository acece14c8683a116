"""The one atomic writer: a file is there whole or not at all, and a failure to write is a sentence."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zerolabel.errors import InputError


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turn a failure to write into a sentence.

    Raises:
        InputError: the disk is full or the folder cannot be written.
    """
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC or "(os error 28)" in str(error):
            raise InputError(f"the disk is full at {folder}; free some space and go on with --resume.") from None
        reason = str(error.strerror or error).splitlines()[0]
        raise InputError(f"{folder} cannot be written ({reason}); give a folder that can.") from None


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file to write beside ``path``, which takes its place at the end, whole or not at all.

    Raises:
        InputError: the disk is full or the folder cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield partial
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
