"""Files that are whole or not there at all: the atomic writer, strict JSON, and CSV that spreadsheets may open."""

from zerolabel.files.writing import FULL, replacing, write_text, writing

__all__ = ["FULL", "replacing", "write_text", "writing"]
