"""Methods that are functions or classes: their keyword-only arguments are the user's options."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from zerolabel.errors import InputError, nearest

Ranges = Mapping[str, tuple[int | float, int | float]]
"""Least and largest value of options."""


def defaults(method: Callable[..., Any]) -> dict[str, Any]:
    """Name and default of each keyword-only argument."""
    parameters = inspect.signature(method).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}


def check(name: str, method: Callable[..., Any], options: Mapping[str, Any], ranges: Ranges) -> None:
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


__all__ = ["Ranges", "check", "defaults"]
