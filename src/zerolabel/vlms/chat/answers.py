"""What an answer in words means: class ids, or the reason why it is an abstention. Nothing is guessed."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from zerolabel.data.classes import Classes

NONE = "none"
_THOUGHTS = re.compile(r"^\s*<think>.*?</think>\s*", re.DOTALL)
_FENCE = re.compile(r"^```\w*\s*(.*?)\s*```$", re.DOTALL)


@dataclass(frozen=True)
class Answer:
    """What an answer was read as.

    Attributes:
        ids: class ids in the order in which they were named; empty for an abstention.
        reason: of the abstention; "" where there is none.
    """

    ids: tuple[int, ...]
    reason: str = ""


@dataclass(frozen=True)
class Vocabulary:
    """The names that an answer may use: exact names before aliases, and these before normalised text.

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
    def normalised(self) -> dict[str, int]:
        """The same by normalised text, for texts that mean one class alone."""
        return _unique((normalise(word), c) for word, c in self.exact.items())

    def find(self, word: str) -> int | None:
        """The class that a word means; -1 for "none", None for an unknown one."""
        word = word.strip()
        if word in self.exact:
            return self.exact[word]
        plain = normalise(word)
        if plain in self.normalised:
            return self.normalised[plain]
        return -1 if plain == NONE else None

    def read(self, text: str | None, choices: int) -> Answer:
        """The classes that an answer names.

        Args:
            text: the answer; JSON such as ``{"classes": ["cat"]}``, or nothing but names with commas between.
            choices: classes that may be named; further ones are left out.
        """
        text = _THOUGHTS.sub("", text or "").strip()
        if not text:
            return Answer((), "empty")
        said = named(text)
        if said is None:
            return Answer((), "unparsable")
        words, is_json = ([text], True) if text[0] not in "{[" and self.find(text) is not None else said
        found = [self.find(word) for word in words]
        known = [c for c in found if c is not None and c >= 0]
        if known and (is_json or None not in found):
            return Answer(tuple(dict.fromkeys(known))[:choices])
        return Answer((), NONE if -1 in found and None not in found else "unknown class" if words else "empty")


def named(text: str) -> tuple[list[str], bool] | None:
    """The words of an answer, and whether they stood in JSON; None where it is something else.

    A text that is not JSON counts as names with commas between where each is short, and all of them must be known:
    "no, cat" is not the answer "cat".
    """
    fenced = _FENCE.match(text)
    text = fenced.group(1) if fenced else text
    try:
        words = _words(json.loads(text))
        return None if words is None else (words, True)
    except (ValueError, RecursionError):
        pass
    if text[:1] in "{[" or "\n" in text:
        return None
    parts = [part for part in text.split(",") if part.strip()]
    return (parts, False) if all(len(part.split()) <= 8 for part in parts) else None


def _words(data: Any) -> list[str] | None:
    if isinstance(data, dict):
        data = data.get("classes", data.get("class"))
    if isinstance(data, str | int | float) and not isinstance(data, bool):
        data = [str(data)]
    if not isinstance(data, list):
        return None
    words = [str(word) for word in data if isinstance(word, str | int | float) and not isinstance(word, bool)]
    return words if len(words) == len(data) else None


def normalise(text: str) -> str:
    """Case, underscores, hyphens, punctuation and further spaces do not make another name."""
    return " ".join(re.sub(r"[\W_]+", " ", text.casefold()).split()) or text.strip().casefold()


def _unique(pairs: Any) -> dict[str, int]:
    found: dict[str, set[int]] = {}
    for word, c in pairs:
        found.setdefault(word, set()).add(c)
    return {word: ids.pop() for word, ids in found.items() if len(ids) == 1}


def schema(names: Sequence[str], choices: int) -> dict[str, Any]:
    """JSON schema of an answer: a list of class names, or of "none"."""
    words = list(dict.fromkeys([*names, NONE]))
    items = {"type": "array", "items": {"type": "string", "enum": words}, "minItems": 1, "maxItems": choices}
    return {"type": "object", "properties": {"classes": items}, "required": ["classes"], "additionalProperties": False}
