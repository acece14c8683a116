"""Answers on disk, each the moment it arrives, so that a killed run never pays for one twice."""

import hashlib
import json
import sqlite3
import threading
from pathlib import Path
from typing import Any

from zerolabel.errors import InputError
from zerolabel.vlms.chat.protocol import Reply


def key(**question: Any) -> str:
    """Hash of all that an answer depends on."""
    return hashlib.sha256(json.dumps(question, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


class AnswerStore:
    """A table of replies by key, in one SQLite file that several threads and processes may use.

    Args:
        path: of the file; is made where it is not there.

    Raises:
        InputError: the file is damaged, or cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.lock, self.path = threading.Lock(), path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.file = sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)
            self.file.execute("PRAGMA journal_mode=WAL")
            self.file.execute("PRAGMA synchronous=FULL")
            columns = "key TEXT PRIMARY KEY, text TEXT, tokens_in INTEGER, tokens_out INTEGER"
            self.file.execute(f"CREATE TABLE IF NOT EXISTS replies ({columns})")
        except (sqlite3.DatabaseError, OSError) as error:
            raise InputError(f"the answers in {path} cannot be read ({error}); move the file away.") from None

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
