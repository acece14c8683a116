"""Class names with their aliases, read from text, JSON, YAML and CSV files."""

import os
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from zerolabel.data import class_files
from zerolabel.errors import InputError
from zerolabel.errors.printable import is_sound, visible
from zerolabel.files.delimited import decoded

_BREAK = re.compile(r"_|(?<=[^\W_])-|-(?!\d)")
_INVISIBLE = dict.fromkeys(map(ord, "\u00ad\u200b\u2060\ufeff"))
"""Soft hyphen, zero-width space, word joiner and byte-order mark: they show nowhere, and come along when names are
copied from pages and sheets. Joiners of emoji and of scripts such as Persian are none of them."""
_SUFFIXES = (".txt", ".json", ".yaml", ".yml", ".csv")


@dataclass(frozen=True)
class Classes:
    """C class names, each with other names for the same thing.

    Attributes:
        names: C names; a class id is its place here.
        aliases: other names of each class, in the same order.

    Raises:
        InputError: fewer than two classes, the same name twice, or a name that two classes claim. Names that
            differ only in case, spaces, hyphens or underscores are the same; single characters such as a and A
            and names without a letter such as 1 and -1 are not, see `plain`.
    """

    names: tuple[str, ...]
    aliases: tuple[tuple[str, ...], ...] = ()

    def __post_init__(self) -> None:
        if not self.aliases:
            object.__setattr__(self, "aliases", ((),) * len(self.names))
        if len(self.names) < 2:
            found = f"only the class {self.names[0]!r}" if self.names else "no class"
            raise InputError(f"--classes names {found}; a classifier needs at least two.")
        odd = next((word for word in self.words if not is_sound(word)), None)
        if odd is not None:
            raise InputError(f"--classes names '{visible(odd)}', which holds characters that no file can; rename it.")
        owner: dict[str, str] = {}
        for name, aliases in zip(self.names, self.aliases, strict=True):
            if (other := owner.get(plain(name))) is not None:
                raise InputError(f"--classes names the same class twice: {other!r} and {name!r}; remove one.")
            owner[plain(name)] = name
            for alias in aliases:
                if owner.setdefault(plain(alias), name) != name:
                    both = f"{owner[plain(alias)]!r} and {name!r}"
                    raise InputError(f"--classes gives the name {alias!r} to two classes, {both}; leave it with one.")

    def __len__(self) -> int:
        return len(self.names)

    @property
    def words(self) -> tuple[str, ...]:
        """Every name and alias, class by class."""
        return tuple(word for name, aliases in zip(self.names, self.aliases, strict=True) for word in (name, *aliases))

    @property
    def owners(self) -> tuple[int, ...]:
        """The class id of each of the `words`."""
        return tuple(i for i, aliases in enumerate(self.aliases) for _ in range(1 + len(aliases)))


def prompts(template: str, names: Iterable[str]) -> list[str]:
    """Put each name where the template has ``{}``."""
    return [template.replace("{}", name) for name in names]


def load_classes(spec: str | os.PathLike[str]) -> Classes:
    """The classes in a file, or the ones written out as ``"a,b,c"``.

    Names are composed (Unicode NFC) and without characters that show nowhere, so that one written on macOS or copied
    from a page is the same as one written elsewhere.

    Args:
        spec: a text file with one name per line, with or without ids; a YAML or JSON file with a list of names, with
            ``name: [aliases]``, or as other tools write it, see `zerolabel.data.class_files`; or names with commas
            between.

    Raises:
        InputError: there is no such file, it is written in another way, or what `Classes` refuses.
    """
    text = os.fspath(spec)
    path = Path(text)
    exists = "\0" not in text and is_file(path)
    if "," not in text and (path.suffix.lower() in _SUFFIXES or os.sep in text) and not exists:
        raise InputError(f"there is no class file {path}; give a file, or names with commas between: cat,dog")
    pairs = class_files.read(path) if exists else [(name, []) for name in text.split(",")]
    cleaned = [(_composed(name), dict.fromkeys(map(_composed, aliases))) for name, aliases in pairs if _composed(name)]
    return Classes(
        names=tuple(name for name, _ in cleaned),
        aliases=tuple(tuple(a for a in aliases if a and plain(a) != plain(name)) for name, aliases in cleaned),
    )


def read_text(path: Path) -> str:
    """A text file in UTF-8.

    Raises:
        InputError: it is in another encoding.
    """
    try:
        return decoded(path.read_bytes())
    except ValueError:
        raise InputError(f"{path} is not text in UTF-8; save it as UTF-8.") from None


def plain(name: str) -> str:
    """A name without the differences that do not make another class.

    Accents may be apart from their letters or not; characters that show nowhere are left out; case, spaces, hyphens and
    underscores make no difference. They do in a name of a single character, or without any letter: ``a`` and ``A``,
    ``1`` and ``-1``, ``1-2`` and ``12``. A hyphen before a digit and behind no letter or digit is a minus, and stays.
    """
    name = _composed(name)
    if not any(character.isalpha() for character in name):
        return name
    words = " ".join(_BREAK.sub(" ", name).split())
    return words if len(words) == 1 else words.casefold()


def is_file(path: Path) -> bool:
    """True if the path is a file; a text too long for a path is none."""
    try:
        return path.is_file()
    except OSError:  # a list of names that is too long for a path
        return False


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name.translate(_INVISIBLE)).strip()
