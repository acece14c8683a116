r"""Names as a terminal may show them: characters that steer it, or that turn text around, are written as escapes.

A file name may hold any character. Raw on a terminal, U+001B starts a command to it, U+000D hides what stands before,
and U+202E shows the rest backwards. Here they are written as in Python: ``\x1b``, ``\r``, ``\u202e``.
"""

import re

from rich.markup import escape

LONGEST = 4_000
"""Characters of one message; a longer one is cut."""

# C0 and C1 controls and DEL; Arabic letter mark, direction marks, embeddings, overrides and isolates; line and
# paragraph separators; the byte order mark; halves of a surrogate pair.
_RAW = "\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff"
_STEERING = f"[{_RAW}]"
_STEERING_BUT_LINES = rf"(?!\n)[{_RAW}]"


def visible(text: str, *, lines: bool = False) -> str:
    """The text with an escape for each character that would steer a terminal.

    Args:
        text: anything, such as a file name.
        lines: whether line breaks stay.
    """
    return re.sub(_STEERING_BUT_LINES if lines else _STEERING, _escaped, text)


def sound(text: str) -> str:
    """A text that any file can hold: what `is_sound` refuses becomes an escape."""
    return text.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode("utf-8")


def is_sound(text: str) -> bool:
    """True if a text can be written to any file: it has no lone surrogate and no zero byte."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def cell(text: str) -> str:
    """Like `visible`, for a cell of a table of `rich`, whose markup in the text is escaped as well."""
    return escape(visible(text, lines=True))


def json_text(text: str) -> str:
    r"""JSON that reads back the same, with ``\uXXXX`` for each such character."""
    return re.sub(_STEERING_BUT_LINES, lambda found: f"\\u{ord(found[0]):04x}", text)


def cut(text: str, longest: int = LONGEST) -> str:
    """The beginning of a text that is too long to show."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape", "surrogatepass").decode("ascii")
