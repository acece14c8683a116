"""Models whose name alone says that they do not know the images of these classes."""

import re
from collections.abc import Sequence

from zerolabel.data.classes import Classes
from zerolabel.vlms.names import reads_characters

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def unknown_classes(models: Sequence[str], classes: Classes) -> str | None:
    """A sentence where the built-in model of characters is asked for classes most of which are none; else None.

    Example:
        >>> unknown_classes(["glyphs"], Classes(("3", "letter b"))) is None
        True
        >>> unknown_classes(["glyphs"], Classes(("rose", "tulip")))[:41]
        'glyphs reads single digits and letters, a'
    """
    if not models or not all(map(reads_characters, models)):
        return None
    aliases = classes.aliases or ((),) * len(classes.names)
    odd = [name for name, more in zip(classes.names, aliases, strict=True) if not any(map(is_character, (name, *more)))]
    if 2 * len(odd) <= len(classes.names):
        return None
    return (
        f"glyphs reads single digits and letters, and '{odd[0]}' is none, so that its votes are hardly better than "
        "chance. For photographs leave --vlm out, or name a model such as --vlm open_clip:ARCH/PRETRAINED."
    )


def is_character(name: str) -> bool:
    """True for the name of a digit or letter, as in "7", "seven", "capital B"."""
    words = re.findall(r"\w+", name)
    return not words or len(words[-1]) == 1 or words[-1].lower() in DIGITS


__all__ = ["unknown_classes"]
