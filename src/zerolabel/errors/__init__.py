"""Errors that a user can fix."""

import difflib
from collections.abc import Iterable

from zerolabel.errors.redaction import redacted


class InputError(ValueError):
    """A mistake in what the user gave: one sentence that names the file or option and the remedy.

    The command line prints the sentence and exits with code 2; the Python API raises it. Passwords and tokens in the
    URLs that it names are left out.
    """

    def __init__(self, sentence: str = "") -> None:
        super().__init__(redacted(sentence))


class DiskFullError(InputError):
    """Missing space on a disk, or a quota that is used up; what was finished before stays."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Say which known names are close to a mistyped one, as the tail of a sentence.

    Args:
        name: what was typed.
        known: the names that exist.

    Returns:
        ``"; did you mean 'a' or 'b'?"``, or the list of all known names where none is close.
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if close:
        return "; did you mean " + " or ".join(f"'{option}'" for option in close) + "?"
    return "; known: " + ", ".join(names) + "."
