"""``--set NAME=VALUE``: typed keyword-only arguments of any function or class, with ranges in their annotations.

A number is annotated as ``Annotated[float, Range(0, 1)]``, mostly by one of the names below, which say the unit:

>>> def method(*, warm_up: Epochs = 5, floor: Share = 0.1) -> None: ...
>>> parse_keywords("method", method, ["warm_up=3", "floor=0.5"])
{'warm_up': 3, 'floor': 0.5}
>>> describe(keyword_types(method)["floor"])
'a number from 0 to 1'
"""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from zerolabel.errors import InputError, nearest

Word = TypeVar("Word", str, str | None)


@dataclass(frozen=True)
class Range:
    """The values that a number may have.

    Attributes:
        low: the least of them.
        high: the largest of them.
        above: whether the number must be larger than `low`.
    """

    low: int | float
    high: int | float
    above: bool = False

    def __contains__(self, value: int | float) -> bool:
        return (self.low < value if self.above else self.low <= value) and value <= self.high

    def __str__(self) -> str:
        low, high = (f"{end:,.0f}" if end == round(end) else f"{end:g}" for end in (self.low, self.high))
        return f"above {low} and at most {high}" if self.above else f"from {low} to {high}"


Epochs = Annotated[int, Range(0, 100_000)]
"""Epochs of the training; 0 is at once."""
Steps = Annotated[int, Range(0, 1_000_000)]
"""Steps of an optimizer; 0 is none."""
Rounds = Annotated[int, Range(1, 100_000)]
"""Rounds of an iteration, or epochs between two events."""
Seed = Annotated[int, Range(0, 2**40)]
"""Of everything random."""
Count = Annotated[int, Range(1, 1_000_000)]
"""Images, entries, dimensions: at least one."""
Neighbors = Annotated[int, Range(1, 1000)]
"""Of each image in a graph."""
Share = Annotated[float, Range(0, 1)]
"""Shares, probabilities, thresholds on them, and the momentum of running means."""
BelowOne = Annotated[float, Range(0, 0.9999)]
"""Shares that must not be all."""
Weight = Annotated[float, Range(0, 1000)]
"""Of a term of the loss, or of evidence; 0 leaves it out."""
Positive = Annotated[float, Range(0, 1e9, above=True)]
"""Scales, ratios and powers."""
Temperature = Annotated[float, Range(1e-3, 1e6)]
"""Divisor of logits or similarities."""
Concentration = Annotated[float, Range(0, 1e3)]
"""Parameter of the Beta distribution that images are mixed by; 0 does not mix."""
Prior = Literal["uniform", "estimated", "auto"] | tuple[Positive, ...]
"""The class prior: see `zerolabel.blocks.targets.class_prior`."""

_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a word", NoneType: "none"}


def parse_keywords(method: str, function: Callable[..., Any], assignments: Iterable[str]) -> dict[str, Any]:
    """Read ``NAME=VALUE`` texts for the keyword-only arguments of a function.

    Raises:
        InputError: a text has no ``=``, a name is unknown, or a value is of another type or out of its range.
    """
    types, values = keyword_types(function), {}
    for text in assignments:
        name, value = split(text)
        if name not in types:
            raise InputError(f"--set {name}: {method} has no such option{nearest(name, types)}")
        values[name] = convert(name, value, types[name])
    return values


def split(assignment: str) -> tuple[str, str]:
    """Name and value of a ``NAME=VALUE`` text.

    Raises:
        InputError: it has no ``=``.
    """
    name, equals, value = assignment.partition("=")
    if not equals:
        raise InputError(f"--set {assignment}: write it as NAME=VALUE.")
    return name.strip(), value.strip()


@cache
def keyword_types(chosen: Callable[..., Any]) -> dict[str, Any]:
    """Type of each keyword-only argument of a learner's constructor, or of a function, with its range."""
    parameters = inspect.signature(chosen).parameters.values()
    return {p.name: p.annotation for p in parameters if p.kind is p.KEYWORD_ONLY}


def convert(name: str, text: str, kind: object) -> object:
    """A value of the wanted type, the first that fits of a union.

    Raises:
        InputError: no type of the union takes the text, or the number is out of its range.
    """
    out_of_range = False
    for one in sorted(_kinds(kind), key=lambda k: k is str):
        try:
            value = _convert(text, one)
        except ValueError:
            continue
        if fits(value, one):
            return value
        out_of_range = True
    raise InputError(f"--set {name}={text}{_remedy(name, kind, out_of_range)}")


def fits(value: object, kind: Any) -> bool:
    """True if a value has a type and is within its range.

    >>> fits(0.5, Share), fits(2, Share), fits(True, Epochs), fits(None, Share | None)
    (True, False, False, True)
    """
    if get_origin(kind) in (Union, UnionType):
        return any(fits(value, one) for one in get_args(kind))
    if get_origin(kind) is Annotated:
        base, *limits = get_args(kind)
        return fits(value, base) and all(value in limit for limit in limits)
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if get_origin(kind) is tuple:
        return isinstance(value, tuple | list) and all(fits(part, get_args(kind)[0]) for part in value)
    if kind in (int, float):
        return isinstance(value, Integral if kind is int else Real) and not isinstance(value, bool)
    return isinstance(value, kind)


def _kinds(kind: object) -> tuple[Any, ...]:
    """The types of a union, or the one type."""
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)


def _convert(text: str, kind: Any) -> Any:
    if get_origin(kind) is Annotated:
        return _convert(text, get_args(kind)[0])
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
    """A type and its range in words."""
    if get_origin(kind) in (Union, UnionType):
        return " or ".join(describe(one) for one in get_args(kind))
    if get_origin(kind) is Annotated:
        base, *limits = get_args(kind)
        return " ".join([_WORDS[base], *map(str, limits)])
    if get_origin(kind) is Literal:
        return " or ".join(repr(word) for word in get_args(kind))
    if get_origin(kind) is tuple:
        return f"{describe(get_args(kind)[0]).removeprefix('a ').replace('number', 'numbers')} separated by commas"
    return _WORDS[kind]


def defaults(method: Callable[..., Any]) -> dict[str, Any]:
    """Name and default of each keyword-only argument."""
    parameters = inspect.signature(method).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}


def one_of(option: str, value: Word, known: Sequence[Word]) -> Word:
    """The value of an option, if it is known.

    Raises:
        InputError: it is not.
    """
    if value in known:
        return value
    raise InputError(f"{option} {value}: invalid value{nearest(str(value), [word for word in known if word])}")


def check_values(name: str, method: Callable[..., Any], values: Mapping[str, Any]) -> None:
    """Check the values of a method's keyword-only arguments.

    Args:
        name: of the method, for messages.
        method: that has them.
        values: by name.

    Raises:
        InputError: it has none of a name, or a value is of another type or out of its range.
    """
    types = keyword_types(method)
    for argument, value in values.items():
        if argument not in types:
            raise InputError(f"{argument}: {name} has no such option{nearest(argument, types)}")
        check_value(argument, value, types[argument])


def check_value(name: str, value: object, kind: object) -> None:
    """Check the type and range of a value.

    Raises:
        InputError: it is not.
    """
    if not fits(value, kind):
        is_number = isinstance(value, Real) and not isinstance(value, bool)
        raise InputError(f"{name}={value}{_remedy(name, kind, is_number)}")


def _remedy(name: str, kind: object, out_of_range: bool) -> str:
    """The end of a sentence that begins with a name and a value which is wrong."""
    return f" is out of range; give {describe(kind)}." if out_of_range else f": {name} is {describe(kind)}."


__all__ = [
    *("BelowOne", "Concentration", "Count", "Epochs", "Neighbors", "Positive", "Prior", "Range", "Rounds", "Share"),
    *("Steps", "Temperature", "Weight"),
    *("check_value", "check_values", "convert", "defaults", "describe", "fits", "keyword_types", "parse_keywords"),
    "split",
]
