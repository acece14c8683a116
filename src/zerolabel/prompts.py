"""Prompt templates, and class names with their aliases."""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from zerolabel.errors import InputError, nearest

# "generic": eight wordings that disagree where a class name is unclear, for images of any kind.
# "small": the 27 short templates of the prompt-vote annotation of Co-Reg, without a full stop.
# "openai": the 80 ImageNet templates of Radford et al., Learning Transferable Visual Models From Natural Language
# Supervision, 2021, with a full stop.
TEMPLATES: dict[str, tuple[str, ...]] = {
    "generic": (
        "{}",
        "a photo of a {}",
        "a picture of the {}",
        "an image that shows a {}",
        "a close-up photo of a {}",
        "a drawing of a {}",
        "a low resolution photo of a {}",
        "this is a {}",
    ),
    "small": (
        "a photo of a {}",
        "a rendering of a {}",
        "a cropped photo of the {}",
        "the photo of a {}",
        "a photo of a clean {}",
        "a photo of a dirty {}",
        "a dark photo of the {}",
        "a photo of my {}",
        "a photo of the cool {}",
        "a close-up photo of a {}",
        "a bright photo of the {}",
        "a cropped photo of a {}",
        "a photo of the {}",
        "a good photo of the {}",
        "a photo of one {}",
        "a close-up photo of the {}",
        "a rendition of the {}",
        "a photo of the clean {}",
        "a rendition of a {}",
        "a photo of a nice {}",
        "a good photo of a {}",
        "a photo of the nice {}",
        "a photo of the small {}",
        "a photo of the weird {}",
        "a photo of the large {}",
        "a photo of a cool {}",
        "a photo of a small {}",
    ),
    "openai": (
        "a bad photo of a {}.",
        "a photo of many {}.",
        "a sculpture of a {}.",
        "a photo of the hard to see {}.",
        "a low resolution photo of the {}.",
        "a rendering of a {}.",
        "graffiti of a {}.",
        "a bad photo of the {}.",
        "a cropped photo of the {}.",
        "a tattoo of a {}.",
        "the embroidered {}.",
        "a photo of a hard to see {}.",
        "a bright photo of a {}.",
        "a photo of a clean {}.",
        "a photo of a dirty {}.",
        "a dark photo of the {}.",
        "a drawing of a {}.",
        "a photo of my {}.",
        "the plastic {}.",
        "a photo of the cool {}.",
        "a close-up photo of a {}.",
        "a black and white photo of the {}.",
        "a painting of the {}.",
        "a painting of a {}.",
        "a pixelated photo of the {}.",
        "a sculpture of the {}.",
        "a bright photo of the {}.",
        "a cropped photo of a {}.",
        "a plastic {}.",
        "a photo of the dirty {}.",
        "a jpeg corrupted photo of a {}.",
        "a blurry photo of the {}.",
        "a photo of the {}.",
        "a good photo of the {}.",
        "a rendering of the {}.",
        "a {} in a video game.",
        "a photo of one {}.",
        "a doodle of a {}.",
        "a close-up photo of the {}.",
        "a photo of a {}.",
        "the origami {}.",
        "the {} in a video game.",
        "a sketch of a {}.",
        "a doodle of the {}.",
        "a origami {}.",
        "a low resolution photo of a {}.",
        "the toy {}.",
        "a rendition of the {}.",
        "a photo of the clean {}.",
        "a photo of a large {}.",
        "a rendition of a {}.",
        "a photo of a nice {}.",
        "a photo of a weird {}.",
        "a blurry photo of a {}.",
        "a cartoon {}.",
        "art of a {}.",
        "a sketch of the {}.",
        "a embroidered {}.",
        "a pixelated photo of a {}.",
        "itap of the {}.",
        "a jpeg corrupted photo of the {}.",
        "a good photo of a {}.",
        "a plushie {}.",
        "a photo of the nice {}.",
        "a photo of the small {}.",
        "a photo of the weird {}.",
        "the cartoon {}.",
        "art of the {}.",
        "a drawing of the {}.",
        "a photo of the large {}.",
        "a black and white photo of a {}.",
        "the plushie {}.",
        "a dark photo of a {}.",
        "itap of a {}.",
        "graffiti of the {}.",
        "a toy {}.",
        "itap of my {}.",
        "a photo of a cool {}.",
        "a photo of a small {}.",
        "a tattoo of the {}.",
    ),
}


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


def load_templates(source: str | os.PathLike[str], option: str = "--templates") -> tuple[str, ...]:
    """The templates of a named set, of a file with one per line, or the one written out.

    Args:
        source: a key of `TEMPLATES`, a text file, or a template such as ``"a sketch of a {}"``.
        option: what messages call it.

    Raises:
        InputError: there is no such set or file, it is empty, or a template lacks ``{}`` or is there twice.
    """
    text = os.fspath(source)
    if text in TEMPLATES:
        return TEMPLATES[text]
    if Path(text).is_file():
        templates = tuple(line.strip() for line in _read(Path(text)).splitlines() if line.strip())
    elif "{}" in text:
        templates = (text,)
    else:
        raise InputError(f"{option} {text}: there is no such file or set of templates{nearest(text, TEMPLATES)}")
    if not templates:
        raise InputError(f"the template file {text} is empty; write one template per line, such as: a photo of a {{}}")
    for template in templates:
        if "{}" not in template:
            raise InputError(f"the template {template!r} in {text} lacks {{}}, where the class name goes; add it.")
        if templates.count(template) > 1:
            raise InputError(f"the template {template!r} is in {text} twice and would vote twice; remove one.")
    return templates


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
