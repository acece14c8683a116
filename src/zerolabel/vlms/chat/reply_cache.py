"""Answers on disk, each the moment it arrives, so that a killed run never pays for one twice."""

import hashlib
import json
import sqlite3
import threading
import warnings
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from zerolabel.errors import InputError
from zerolabel.files import FULL
from zerolabel.vlms.chat.protocol import Reply

_NOT_WRITABLE = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM)
_FULL = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)
_TABLE = "CREATE TABLE IF NOT EXISTS replies (key TEXT PRIMARY KEY, text TEXT, tokens_in INTEGER, tokens_out INTEGER)"
_VERSIONS = "CREATE TABLE IF NOT EXISTS versions (name TEXT PRIMARY KEY, version TEXT)"


def _opened(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)


def _prepare(file: sqlite3.Connection) -> None:
    file.execute("PRAGMA journal_mode=WAL")
    file.execute("PRAGMA synchronous=FULL")
    file.execute(_TABLE)
    file.execute(_VERSIONS)


def key(**question: object) -> str:
    """Hash of all that an answer depends on."""
    return hashlib.sha256(json.dumps(question, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


class AnswerStore:
    """A table of replies by key, in one SQLite file that several threads and processes may use.

    Args:
        path: of the file; is made where it is not there.

    Where it cannot be written, such as in a cache of others, a note says so, and new answers are kept in memory.

    Raises:
        InputError: the file is damaged, or the disk is full.
    """

    def __init__(self, path: Path) -> None:
        self.lock, self.path = threading.Lock(), path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.file = _opened(path)
            _prepare(self.file)
        except OSError as error:
            self.file = self._in_memory(error.strerror or str(error), full=error.errno in FULL)
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code not in (*_NOT_WRITABLE, *_FULL):
                raise InputError(f"the answers in {path} cannot be read ({error}); move the file away.") from None
            self.file = self._in_memory(str(error), full=code in _FULL)

    def _in_memory(self, reason: str, *, full: bool) -> sqlite3.Connection:
        """A copy of the file, where there is one, whose additions are lost at the end."""
        if full:
            raise InputError(f"the answers in {self.path} cannot be kept ({reason}); give another --cache.") from None
        warnings.warn(
            f"the answers in {self.path} cannot be kept ({reason.lower()}), so another run asks again; give a --cache "
            "that can be written.",
            stacklevel=4,
        )
        memory = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        with suppress(sqlite3.Error, OSError):
            if self.path.is_file():
                address = f"{self.path.absolute().as_uri()}?mode=ro&immutable=1"
                with closing(sqlite3.connect(address, uri=True)) as there:
                    there.backup(memory)
        memory.execute(_TABLE)
        memory.execute(_VERSIONS)
        return memory

    def version(self, name: str) -> str:
        """Model name in the last reply of a model; empty if there was none."""
        rows = self.run("SELECT version FROM versions WHERE name = ?", (name,))
        return str(rows[0][0]) if rows else ""

    def set_version(self, name: str, version: str) -> None:
        """Keep what a model calls itself."""
        self.run("INSERT OR REPLACE INTO versions VALUES (?, ?)", (name, version))

    def get(self, key: str) -> Reply | None:
        """The reply to a question, None where there is none yet."""
        rows = self.run("SELECT text, tokens_in, tokens_out FROM replies WHERE key = ?", (key,))
        return Reply(*rows[0]) if rows else None

    def add(self, key: str, reply: Reply) -> None:
        """Keep a reply; on disk when this returns."""
        row = (key, reply.text, reply.tokens_in, reply.tokens_out)
        self.run("INSERT OR REPLACE INTO replies VALUES (?, ?, ?, ?)", row)

    def run(self, statement: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        """Do a statement, and fetch what it finds.

        Raises:
            InputError: the file cannot be read or written, such as on a full disk.
        """
        try:
            with self.lock:
                return self.file.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            reason = f"the answers in {self.path} cannot be read or kept ({error})"
            raise InputError(f"{reason}; make room, or give another --cache.") from None

    def close(self) -> None:
        """Let go of the file."""
        self.file.close()
