"""Class names with their aliases, read from text, JSON, YAML and CSV files."""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from zerolabel.errors import InputError

_SUFFIXES = (".txt", ".json", ".yaml", ".yml", ".csv")


_SHAPE = "write a list of names, or name: [aliases]."


_Pairs = list[tuple[str, list[str]]]


@dataclass(frozen=True)
class Classes:
    """C class names, each with other names for the same thing.

    Attributes:
        names: C names; a class id is its place here.
        aliases: other names of each class, in the same order.

    Raises:
        InputError: fewer than two classes, the same name twice, or a name that two classes claim. Names that
            differ only in case, spaces, hyphens or underscores are the same; single characters such as a and A
            are not.
    """

    names: tuple[str, ...]
    aliases: tuple[tuple[str, ...], ...] = ()

    def __post_init__(self) -> None:
        if not self.aliases:
            object.__setattr__(self, "aliases", ((),) * len(self.names))
        if len(self.names) < 2:
            found = f"only the class {self.names[0]!r}" if self.names else "no class"
            raise InputError(f"--classes names {found}; a classifier needs at least two.")
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

    Args:
        spec: a text file with one name per line; a YAML or JSON file with a list of names or with
            ``name: [aliases]``; or names with commas between.

    Raises:
        InputError: there is no such file, it is written in another way, or what `Classes` refuses.
    """
    text = os.fspath(spec)
    path = Path(text)
    if "," not in text and (path.suffix.lower() in _SUFFIXES or os.sep in text) and not path.is_file():
        raise InputError(f"there is no class file {path}; give a file, or names with commas between: cat,dog")
    if not path.is_file():
        pairs: _Pairs = [(name, []) for name in text.split(",")]
    elif path.suffix.lower() == ".json":
        pairs = _json(path)
    elif path.suffix.lower() in (".yaml", ".yml"):
        pairs = _yaml(path)
    else:
        pairs = [(name, []) for name in _read(path).splitlines()]
    cleaned = [(name.strip(), dict.fromkeys(a.strip() for a in aliases)) for name, aliases in pairs if name.strip()]
    return Classes(
        names=tuple(name for name, _ in cleaned),
        aliases=tuple(tuple(a for a in aliases if a and plain(a) != plain(name)) for name, aliases in cleaned),
    )


def _json(path: Path) -> _Pairs:
    try:
        data: Any = json.loads(_read(path), object_pairs_hook=lambda pairs: pairs)
    except json.JSONDecodeError as error:
        raise InputError(f"the class file {path} is not valid JSON ({error}); {_SHAPE}") from None
    items: list[Any] = data if isinstance(data, list) else [None]
    split = [item if isinstance(item, tuple) else (item, []) for item in items]
    pairs: _Pairs = [(name, [aliases] if isinstance(aliases, str) else aliases or []) for name, aliases in split]
    lists = all(isinstance(aliases, list) for _, aliases in pairs)
    if not lists or not all(isinstance(word, str) for name, aliases in pairs for word in (name, *aliases)):
        raise InputError(f"the class file {path} holds something other than names; {_SHAPE}")
    return pairs


def _yaml(path: Path) -> _Pairs:
    """Read the nodes themselves, so that ``no: [nope]`` stays the word "no" and a repeated key is seen."""
    try:
        root = yaml.compose(_read(path), Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise InputError(f"the class file {path} is not valid YAML ({str(error).splitlines()[0]}); {_SHAPE}") from None
    if root is None:
        return []
    items = root.value if isinstance(root, yaml.CollectionNode) else [root]
    nodes = [item if isinstance(item, tuple) else (item, None) for item in items]
    return [(_word(name, path), _words(aliases, path)) for name, aliases in nodes]


def _words(node: yaml.Node | None, path: Path) -> list[str]:
    if node is None or node.tag == "tag:yaml.org,2002:null":
        return []
    return [_word(item, path) for item in (node.value if isinstance(node, yaml.SequenceNode) else [node])]


def _word(node: yaml.Node, path: Path) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise InputError(f"the class file {path} holds something other than names; {_SHAPE}")
    return str(node.value)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path} is not text in UTF-8; save it as UTF-8.") from None


def plain(name: str) -> str:
    """A name without the differences that do not make another class; of a single character case is one."""
    words = " ".join(name.replace("_", " ").replace("-", " ").split()) or name.strip()
    return words if len(words) == 1 else words.casefold()
