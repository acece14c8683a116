"""Files that are half written: how they are named beside the file that they become, and what killed processes left.

A name holds the process and its machine, so that the next run removes it at once where that process is gone, and
otherwise, on a disk that several machines share, once it is old.
"""

import glob
import os
import platform
import re
import time
from contextlib import suppress
from pathlib import Path

ABANDONED = 3600.0
"""Seconds after which a file of an unknown or a living process counts as left behind."""

_MADE = re.compile(r"\.(?:.*\.)?(\d+)@([^@/]*?)\.partial$")
_OLD = re.compile(r"\.(?:.*\.)?(\d+)\.partial$")


def suffix() -> str:
    """The end of a half written file's name: process, machine, ``.partial``."""
    return f".{os.getpid()}@{_machine()}.partial"


def partial_of(path: Path) -> Path:
    """A file to write beside ``path``; those for the same path whose process is gone are removed."""
    with suppress(OSError):
        for left in path.parent.glob(f".{glob.escape(path.name)}.*.partial"):
            _remove(left)
    return path.with_name(f".{path.name}{suffix()}")


def partial_before(path: Path) -> Path:
    """Like `partial_of`, with the ending of ``path``, for libraries that choose the format by it."""
    with suppress(OSError):
        for left in path.parent.glob(f".*.partial.{glob.escape(path.name)}"):
            _remove(left, left.name[: -len(path.name) - 1])
    return path.with_name(f"{suffix()}.{path.name}")


def sweep(folder: Path, *, deep: bool = False) -> None:
    """Remove what killed processes left half written in a folder, and in those below it where asked."""
    with suppress(OSError):
        for left in [*(folder.rglob if deep else folder.glob)(".*.partial")]:
            _remove(left)


def _remove(path: Path, name: str = "") -> None:
    with suppress(OSError):
        if path.is_file() and _is_left(path, name or path.name):
            path.unlink()


def _is_left(path: Path, name: str) -> bool:
    made, old = _MADE.fullmatch(name), _OLD.fullmatch(name)
    here = made is None or made[2] == _machine()
    found = made or old
    if found is not None and here and not _alive(int(found[1])):
        return True
    return time.time() - path.stat().st_mtime > ABANDONED


def _alive(process: int) -> bool:
    if os.name == "nt":  # there, the signal 0 would end it
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True  # it is another user's
    return True


def _machine() -> str:
    return re.sub(r"[^\w-]", "-", platform.node())[:40]


__all__ = ["partial_before", "partial_of", "suffix", "sweep"]
