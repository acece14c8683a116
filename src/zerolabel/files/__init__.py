"""Files that are whole or not there at all: the atomic writer, locks, strict JSON, and safe CSV."""

from zerolabel.files.lock import LOCK, alone
from zerolabel.files.writing import FULL, atomic, check_place, replacing, write_text, writing

__all__ = ["FULL", "LOCK", "alone", "atomic", "check_place", "replacing", "write_text", "writing"]
