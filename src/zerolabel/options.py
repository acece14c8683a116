"""``--set NAME=VALUE``: typed from a learner's constructor and from the training settings."""

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import torch

from zerolabel import few_shot, transduction
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


_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


def parse_solver(method: str, assignments: Iterable[str]) -> dict[str, Any]:
    """Read ``NAME=VALUE`` texts for a solver of `zerolabel.transduction`.

    Raises:
        InputError: there is no such method, a text has no ``=``, a name is unknown, or a value cannot be.
    """
    values = keywords(method, transduction.find_solver(method), assignments)
    transduction.check(method, values)
    return values


def parse_few_shot(method: str, assignments: Iterable[str]) -> dict[str, Any]:
    """Read ``NAME=VALUE`` texts for a method of `zerolabel.few_shot`.

    Raises:
        InputError: there is no such method, a text has no ``=``, a name is unknown, or a value cannot be.
    """
    values = keywords(method, few_shot.find(method), assignments)
    few_shot.check(method, values)
    return values


def keywords(method: str, function: Callable[..., Any], assignments: Iterable[str]) -> dict[str, Any]:
    """Read ``NAME=VALUE`` texts for the keyword-only arguments of a function.

    Raises:
        InputError: a text has no ``=``, a name is unknown, or a value is of another type.
    """
    types, values = keyword_types(function), {}
    for text in assignments:
        name, equals, value = text.partition("=")
        name = name.strip()
        if not equals:
            raise InputError(f"--set {text}: write it as NAME=VALUE.")
        if name not in types:
            raise InputError(f"--set {name}: {method} has no such option{nearest(name, types)}")
        values[name] = convert(name, value.strip(), types[name])
    return values


def keyword_types(chosen: Callable[..., Any]) -> dict[str, Any]:
    """Type of each keyword-only argument of a learner's constructor, or of a function."""
    hints = get_type_hints(chosen.__init__ if isinstance(chosen, type) else chosen)  # type: ignore[misc]
    parameters = inspect.signature(chosen).parameters.values()
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
        if text.lower() not in _TRUE + _FALSE:
            raise ValueError(text)
        return text.lower() in _TRUE
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


_RANGES: dict[str, tuple[float, float]] = {
    "epochs": (1, 100_000),
    "batch_size": (1, 100_000),
    "lr": (1e-12, 1e3),
    "final_lr": (0, 1),
    "period": (1, 100_000),
    "momentum": (0, 0.9999),
    "weight_decay": (0, 1e3),
    "seed": (0, 2**40),
}


def make_settings(values: dict[str, Any]) -> Settings:
    """Training settings, with numbers that can be.

    Raises:
        InputError: a number is out of its range, or the device is unknown or not in this machine.
    """
    for name, (low, high) in _RANGES.items():
        value = values.get(name)
        if value is not None and not low <= value <= high:
            raise InputError(f"{name} {value} is out of range; give a number from {low:g} to {high:g}.")
    check_device(values.get("device", "auto"))
    return Settings(**values)


def check_device(name: str) -> None:
    """See that there is such a device.

    Raises:
        InputError: the name is unknown, or this machine has no such device.
    """
    there = {"auto": True, "cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    kind, _, number = name.partition(":")
    if kind not in there or (number and not (kind == "cuda" and number.isdigit())):
        raise InputError(f"--device {name}: there is no such device{nearest(name, there)}")
    if not there[kind] or int(number or 0) >= max(1, torch.cuda.device_count()):
        raise InputError(f"--device {name}: this machine has none; give --device auto, which takes what there is.")


def describe(kind: Any) -> str:
    """A type in words."""
    if get_origin(kind) in (Union, UnionType):
        return " or ".join(describe(one) for one in get_args(kind))
    if get_origin(kind) is Literal:
        return " or ".join(repr(word) for word in get_args(kind))
    if get_origin(kind) is tuple:
        return f"{describe(get_args(kind)[0]).removeprefix('a ')}s separated by commas"
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "a word", NoneType: "none"}
    return words[kind]
