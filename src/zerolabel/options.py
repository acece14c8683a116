"""``--set NAME=VALUE``: typed from a learner's constructor and from the training settings."""

import inspect
from collections.abc import Iterable
from dataclasses import dataclass, fields
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from zerolabel.errors import InputError, nearest
from zerolabel.learners import LEARNERS, Learner
from zerolabel.training import Settings


@dataclass(frozen=True)
class Options:
    """What was set, told apart.

    Attributes:
        learner: hyper-parameters of the learner.
        settings: fields of `training.Settings`.
    """

    learner: dict[str, Any]
    settings: dict[str, Any]


def find_learner(name: str) -> type[Learner]:
    """The learner of that name.

    Raises:
        InputError: there is none.
    """
    if name not in LEARNERS:
        raise InputError(f"there is no learner '{name}'{nearest(name, LEARNERS)}")
    return LEARNERS[name]


def parse(learner: str, assignments: Iterable[str]) -> Options:
    """Read ``NAME=VALUE`` texts.

    Raises:
        InputError: a text without ``=``, an unknown name, or a value of another type.
    """
    own = keyword_types(find_learner(learner))
    common = {f.name: hint for f, hint in zip(fields(Settings), get_type_hints(Settings).values(), strict=True)}
    options = Options({}, {})
    for text in assignments:
        name, equals, value = text.partition("=")
        name = name.strip()
        if not equals:
            raise InputError(f"--set {text}: write it as NAME=VALUE.")
        if name in own:
            options.learner[name] = convert(name, value.strip(), own[name])
        elif name in common:
            options.settings[name] = convert(name, value.strip(), common[name])
        else:
            raise InputError(f"--set {name}: {learner} has no such option{nearest(name, own | common)}")
    return options


def keyword_types(learner: type[Learner]) -> dict[str, Any]:
    """Type of each keyword-only argument of a learner's constructor."""
    hints = get_type_hints(learner.__init__)
    parameters = inspect.signature(learner).parameters.values()
    return {p.name: hints[p.name] for p in parameters if p.kind is p.KEYWORD_ONLY}


def convert(name: str, text: str, kind: Any) -> Any:
    """A value of the wanted type, the first that fits of a union.

    Raises:
        InputError: no type of the union takes the text.
    """
    kinds = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    for one in sorted(kinds, key=lambda k: k is str):
        try:
            return _convert(text, one)
        except ValueError:
            continue
    raise InputError(f"--set {name}={text}: {name} is {describe(kind)}.")


def _convert(text: str, kind: Any) -> Any:
    if kind is bool:
        words = {
            "true": True,
            "yes": True,
            "on": True,
            "1": True,
            "false": False,
            "no": False,
            "off": False,
            "0": False,
        }
        if text.lower() not in words:
            raise ValueError(text)
        return words[text.lower()]
    if kind is NoneType:
        if text.lower() != "none":
            raise ValueError(text)
        return None
    if get_origin(kind) is Literal:
        if text not in get_args(kind):
            raise ValueError(text)
        return text
    if get_origin(kind) is tuple:
        return tuple(_convert(part.strip(), get_args(kind)[0]) for part in text.split(","))
    return kind(text)


def describe(kind: Any) -> str:
    """A type in words."""
    if get_origin(kind) in (Union, UnionType):
        return " or ".join(describe(one) for one in get_args(kind))
    if get_origin(kind) is Literal:
        return " or ".join(repr(word) for word in get_args(kind))
    if get_origin(kind) is tuple:
        return f"{describe(get_args(kind)[0])}s separated by commas"
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "a word", NoneType: "none"}
    return words[kind]
