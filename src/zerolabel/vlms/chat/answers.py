"""Parses answers of chat models into class ids, or into the reason of an abstention; nothing is guessed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from zerolabel.data.classes import Classes
from zerolabel.vlms.chat.shapes import Said, normalize, said

NONE = "none"
CUT_OFF = "cut off"
"""The reason where the server ended an answer at its number of tokens."""
FAILED = ("refused", "failed", CUT_OFF)
"""Reasons of which no answer is kept: the question is asked again by the next command."""


@dataclass(frozen=True)
class Answer:
    """A parsed answer.

    Attributes:
        ids: class ids in the order in which they were named; empty for an abstention.
        reason: of the abstention; "" where there is none.
    """

    ids: tuple[int, ...]
    reason: str = ""


@dataclass(frozen=True)
class Vocabulary:
    """The names that an answer may use: exact names before aliases, and these before normalized text.

    Attributes:
        classes: names and aliases.
    """

    classes: Classes

    @cached_property
    def exact(self) -> dict[str, int]:
        """Class id of every name; an alias counts where no class has that name and no other class that alias."""
        names = {name: c for c, name in enumerate(self.classes.names)}
        aliases = _unique(zip(self.classes.words, self.classes.owners, strict=True))
        return {**aliases, **names}

    @cached_property
    def normalized(self) -> dict[str, int]:
        """Class ids by normalized text, for texts that mean a single class."""
        return _unique((normalize(word), c) for word, c in self.exact.items())

    def find(self, word: str) -> int | None:
        """The class that a word means; -1 for "none", None for an unknown one."""
        word = word.strip()
        if word in self.exact:
            return self.exact[word]
        plain = normalize(word)
        if plain in self.normalized:
            return self.normalized[plain]
        return -1 if plain == NONE else None

    def read(self, text: str | None, choices: int) -> Answer:
        """The classes that an answer names.

        Args:
            text: the answer; JSON such as ``{"classes": ["cat"]}``, or nothing but names with commas between, as
                servers dress them, see `zerolabel.vlms.chat.shapes`.
            choices: classes that may be named; further ones are left out.
        """
        readings = said(text or "", lambda word: self.find(word) is not None)
        if not readings:
            return Answer((), "empty" if readings is not None else "unparsable")
        found = list(dict.fromkeys(self._meaning(one) for one in readings))
        if len(found) > 1:
            return Answer((), "ambiguous")
        answer = found[0]
        return Answer(answer.ids[:choices], answer.reason)

    def _meaning(self, one: Said) -> Answer:
        """The classes of one reading of an answer."""
        found = [self.find(word) for word in one.words]
        known = [c for c in found if c is not None and c >= 0]
        if known and (one.is_json or None not in found):
            return Answer(tuple(dict.fromkeys(known)))
        return Answer((), NONE if -1 in found and None not in found else "unknown class" if one.words else "empty")


def _unique(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    found: dict[str, set[int]] = {}
    for word, c in pairs:
        found.setdefault(word, set()).add(c)
    return {word: ids.pop() for word, ids in found.items() if len(ids) == 1}


def schema(names: Sequence[str], choices: int) -> dict[str, Any]:
    """JSON schema of an answer: a list of class names, or of "none"."""
    words = list(dict.fromkeys([*names, NONE]))
    items = {"type": "array", "items": {"type": "string", "enum": words}, "minItems": 1, "maxItems": choices}
    return {"type": "object", "properties": {"classes": items}, "required": ["classes"], "additionalProperties": False}


__all__ = ["CUT_OFF", "FAILED", "NONE", "Answer", "Vocabulary", "normalize", "schema"]
