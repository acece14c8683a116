"""``--set NAME=VALUE``: text to typed keyword-only arguments of any function or class, with ranges from its owner."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from zerolabel.errors import InputError, nearest

Ranges = Mapping[str, tuple[int | float, int | float]]
"""Least and largest value of options."""

_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


def parse_keywords(method: str, function: Callable[..., Any], assignments: Iterable[str]) -> dict[str, Any]:
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


def defaults(method: Callable[..., Any]) -> dict[str, Any]:
    """Name and default of each keyword-only argument."""
    parameters = inspect.signature(method).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}


def check_values(name: str, method: Callable[..., Any], options: Mapping[str, Any], ranges: Ranges) -> None:
    """See that a method takes these options.

    Args:
        name: of the method, for messages.
        method: that has them as keyword-only arguments.
        options: by name.
        ranges: of those that are numbers; from 0 to 1 where an option is not among them.

    Raises:
        InputError: it has none of a name, or a number is out of its range.
    """
    known = defaults(method)
    for option, value in options.items():
        if option not in known:
            raise InputError(f"--set {option}: {name} has no such option{nearest(option, known)}")
        low, high = ranges.get(option, (0, 1))
        if isinstance(value, int | float) and not low <= value <= high:
            raise InputError(f"--set {option}={value}: it is out of range; give a number from {low:g} to {high:g}.")
