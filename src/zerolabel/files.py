"""The one atomic writer: a file is there whole or not at all, and a failure to write is a sentence."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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


LOCK = ".zerolabel.lock"
_WRITTEN = ("checkpoints", "classifier", "student", "adapted", "runs/*", "runs/*/checkpoints", "runs/*/adapted")
"""Folders inside an output folder that its command alone writes to."""


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold a folder for this process: a file lock in it, which the system lifts where the process dies.

    Where the file system knows no locks, nothing is held. What killed processes left half written is removed.

    Raises:
        InputError: another process holds it.
    """
    file = _locked(folder)
    try:
        if file is not None:
            remove_leftovers(folder)
        yield
    finally:
        if file is not None:
            with suppress(OSError):  # a system that does not remove an open file keeps an empty one
                (folder / LOCK).unlink(missing_ok=True)
            os.close(file)


def remove_leftovers(folder: Path) -> None:
    """Remove the ``.NAME.PID.partial`` files of killed processes from a folder that no live process writes to."""
    for path in (found for place in ("", *_WRITTEN) for found in folder.glob(os.path.join(place, ".*.partial"))):
        if path.name.split(".")[-2].isdigit() and path.is_file():
            path.unlink(missing_ok=True)


def _locked(folder: Path) -> int | None:
    """A descriptor of the locked file; none where the file system knows no locks."""
    path = folder / LOCK
    with writing(folder):
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        _lock(file)
    except OSError as error:
        os.close(file)
        if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
            raise InputError(
                f"another command is at work in {folder}; wait until it ends, or give -o another folder."
            ) from None
        return None
    with suppress(FileNotFoundError):
        if os.path.samestat(os.fstat(file), os.stat(path)):
            return file
    os.close(file)  # whoever held it before has removed it meanwhile
    return _locked(folder)


if sys.platform == "win32":
    import msvcrt

    def _lock(file: int) -> None:
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
