"""Class names in the files of others: lists, aliases, ids with names, and what trainers and model hubs write.

A class id is the place of a name, from 0. Where a file gives ids, they decide the order, and must be 0 to C - 1 (or 1
to C, in a text file, which a note tells).
"""

import json
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from zerolabel.errors import InputError
from zerolabel.files.delimited import decoded, find_column, rows

Pairs = list[tuple[str, list[str]]]
"""Names and their aliases."""

_SHAPE = "write a list of names, or name: [aliases]."
_DATA_YAML = frozenset(
    ("train", "val", "valid", "test", "minival", "nc", "path", "download", "roboflow", "kpt_shape", "flip_idx")
)
"""Keys beside ``names`` in the ``data.yaml`` of Ultralytics and Roboflow; each but the last five holds a folder."""
_YAML = (".yaml", ".yml")
_NUMBERED = re.compile(r"\s*(\d+)\s*(?:[:;,\t]|\s)\s*(\S.*)")
_NAME_COLUMNS = ("name", "class_name", "class", "label", "category", "display_name")
_ID_COLUMNS = ("id", "class_id", "index", "label_id", "category_id", "mid")


class _Mapping(list[tuple[str, Any]]):
    """Keys and values, in their order, with repeated keys; values are scalars, lists, or mappings again."""


def read(path: Path) -> Pairs:
    """The names in a class file, with their aliases.

    Args:
        path: with a name per line, which may follow its id; a .csv, which may have columns of ids and names; or a
            .yaml or .json with a list of names, with ``name: [aliases]``, with ``id: name`` (``id2label``) or
            ``name: id``, with one of these under ``id2label`` or ``label2id`` (a model's config.json), or with
            ``names`` (Ultralytics' and Roboflow's data.yaml).

    Raises:
        InputError: it is written in another way, or its ids are not those of all classes.
    """
    suffix = path.suffix.lower()
    try:
        text = decoded(path.read_bytes())
    except ValueError:
        raise InputError(f"{path} is not text in UTF-8; save it as UTF-8.") from None
    try:
        if suffix == ".json" or (suffix not in _YAML and _is_json(text)):
            return _pairs(_json(text, path), path)
        if suffix in _YAML or _is_bullets(text):
            return _pairs(_yaml(text, path), path)
    except RecursionError:
        raise InputError(f"the class file {path} is nested too deeply; {_SHAPE}") from None
    if suffix == ".csv" and (table := _table(text, path)) is not None:
        return table
    return _lines(text.splitlines(), path)


def _is_json(text: str) -> bool:
    """True if a text is a list or an object of JSON, regardless of the file's name."""
    if text.strip()[:1] not in ("[", "{"):
        return False
    try:
        return isinstance(json.loads(text), list | dict)
    except ValueError:
        return False


def _is_bullets(text: str) -> bool:
    """True if every line is a bullet, as in a list of YAML."""
    lines = [line for line in text.splitlines() if line.strip()]
    return len(lines) > 1 and all(line.lstrip().startswith("- ") for line in lines)


def _json(text: str, path: Path) -> object:
    try:
        return json.loads(text, object_pairs_hook=_Mapping)
    except ValueError as error:
        raise InputError(f"the class file {path} is not valid JSON ({error}); {_SHAPE}") from None


def _yaml(text: str, path: Path) -> object:
    """The nodes themselves, so that ``no: [nope]`` stays the word "no" and a repeated key is seen."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise InputError(f"the class file {path} is not valid YAML ({str(error).splitlines()[0]}); {_SHAPE}") from None
    return [] if root is None else _value(root, path)


def _value(node: yaml.Node, path: Path) -> object:
    if isinstance(node, yaml.ScalarNode):
        return None if node.tag == "tag:yaml.org,2002:null" else str(node.value)
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, path) for item in node.value]
    if not all(isinstance(key, yaml.ScalarNode) for key, _ in node.value):
        raise _other(path)
    return _Mapping((str(key.value), _value(value, path)) for key, value in node.value)


def _pairs(data: object, path: Path) -> Pairs:
    """Names and aliases of what a file holds."""
    if isinstance(data, str):
        return [(data, [])]
    if isinstance(data, _Mapping):
        return _mapped(data, path)
    if not isinstance(data, list):
        raise _other(path)
    return [pair for item in data for pair in _item(item, path)]


def _item(item: object, path: Path) -> Pairs:
    """A name of a list, or ``name: [aliases]`` in it."""
    if isinstance(item, _Mapping):
        return _aliased(item, path)
    if not isinstance(item, str):
        raise _other(path)
    return [(item, [])]


def _mapped(data: _Mapping, path: Path) -> Pairs:
    keys = [key for key, _ in data]
    inner = {key: value for key, value in data if key in ("id2label", "label2id", "names")}
    for key in ("id2label", "label2id"):
        if isinstance(inner.get(key), _Mapping | list):
            return _pairs(inner[key], path)
    beside = set(keys) - {"names"}
    if "names" in inner and (not beside or beside & _DATA_YAML):
        return _of_trainer(inner["names"], dict(data).get("nc"), path)
    if "nc" in beside and beside & {"train", "val", "valid", "test"}:
        raise InputError(f"{path} describes a data set without names of classes; add names: [...], or give a list.")
    if (ids := _ids(keys)) is not None and all(isinstance(value, str) and value for _, value in data):
        return [(str(data[place][1]), []) for place in ids]
    if (ids := _ids([value for _, value in data])) is not None:
        return [(keys[place], []) for place in ids]
    return _aliased(data, path)


def _of_trainer(names: object, count: object, path: Path) -> Pairs:
    """Parse ``names`` of a data.yaml: a list, or a mapping from ids to names."""
    if isinstance(names, _Mapping):
        order = _ids([key for key, _ in names])
        if order is None:
            raise InputError(f"{path} gives its names other ids than 0 to {len(names) - 1}; number them so, each once.")
        names = [names[place][1] for place in order]
    if not isinstance(names, list) or not all(isinstance(name, str) and name.strip() for name in names):
        raise InputError(f"{path} has names that are no list of names; write names: [cat, dog].")
    if isinstance(count, str | int) and str(count) != str(len(names)):
        raise InputError(f"{path} says nc: {count} and has {len(names)} names; correct one of the two.")
    return [(name, []) for name in names]


def _aliased(data: _Mapping, path: Path) -> Pairs:
    done: Pairs = []
    for name, aliases in data:
        words = [aliases] if isinstance(aliases, str) else aliases or []
        if not isinstance(words, list) or isinstance(words, _Mapping) or not all(isinstance(w, str) for w in words):
            raise _other(path)
        done.append((name, words))
    return done


def _ids(values: Sequence[Any], first: int = 0) -> list[int] | None:
    """Places in the order of their ids, where these are ``first``, ``first`` + 1, ... each once; else None."""
    texts = [str(value) if isinstance(value, str | int) else "" for value in values]
    wanted = [str(number) for number in range(first, first + len(texts))]
    if not texts or sorted(texts) != sorted(wanted):
        return None
    return sorted(range(len(texts)), key=lambda place: int(texts[place]))


def _lines(lines: Sequence[str], path: Path) -> Pairs:
    """A name per line; comments are left out, and ids before all of them are taken off."""
    kept = [line for line in lines if line.strip()]
    if comments := [line for line in kept if line.startswith("# ")]:
        warnings.warn(f"{path}: {comments[0][:80]!r} is taken as a comment, not as a class.", stacklevel=2)
        kept = [line for line in kept if line not in comments]
    if any(len(line.split()) > 1 and line.rstrip().endswith("{") for line in kept) and "}" in map(str.strip, kept):
        raise _other(path)
    split = [_NUMBERED.fullmatch(line) for line in kept]
    found = [match for match in split if match is not None]
    if len(found) == len(kept):
        names = _numbered([match[1] for match in found], [match[2] for match in found], path)
        if names is not None:
            return names
    return [(line, []) for line in kept]


def _numbered(ids: Sequence[str], names: Sequence[str], path: Path) -> Pairs | None:
    """Names in the order of their ids; None where the numbers are no ids."""
    if len({name.strip() for name in names}) < len(names):
        return None
    if (order := _ids(ids)) is not None:
        return [(names[place], []) for place in order]
    order = _ids(ids, 1) if len(ids) > 2 else None
    if order is None:
        return None
    warnings.warn(f"{path} counts its classes from 1; here the first one has the id 0.", stacklevel=2)
    return [(names[place], []) for place in order]


def _table(text: str, path: Path) -> Pairs | None:
    """A CSV with a head of names, and perhaps ids; None where it is a list of lines."""
    try:
        table = rows(text)
    except ValueError:
        return None
    names, ids = (find_column(table[0], known) if table else None for known in (_NAME_COLUMNS, _ID_COLUMNS))
    if names is None or (ids is None and any(len(row) != len(table[0]) for row in table)):
        return None
    words = [row[names] if names < len(row) else "" for row in table[1:]]
    if ids is None:
        return [(word, []) for word in words]
    numbers = [row[ids].strip() if ids < len(row) else "" for row in table[1:]]
    found = _numbered(numbers, words, path)
    if found is None:
        raise InputError(f"{path} has ids that are not 0 to {len(words) - 1}, each once; number its classes so.")
    return found


def _other(path: Path) -> InputError:
    return InputError(f"the class file {path} holds something other than names; {_SHAPE}")
