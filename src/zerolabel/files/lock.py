"""One command at a time in an output folder."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from zerolabel.errors import InputError
from zerolabel.files.leftovers import sweep
from zerolabel.files.writing import writing

LOCK = ".zerolabel.lock"
"""Name of the file in a folder that holds it."""


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
            sweep(folder, deep=True)
        yield
    finally:
        if file is not None:
            with suppress(OSError):  # a system that does not remove an open file keeps an empty one
                (folder / LOCK).unlink(missing_ok=True)
            os.close(file)


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
                f"another command is running in {folder}; wait until it ends, or give -o another folder."
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
