"""A table of functions with typed, bounded keyword arguments, chosen by ``--method``."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from zerolabel.errors import InputError, nearest
from zerolabel.options import check_values, defaults, parse_keywords

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class MethodTable(Generic[Function]):
    """Methods by name.

    Attributes:
        kind: name of the kind in messages.
        methods: functions, whose keyword-only arguments are the options.
    """

    kind: str
    methods: dict[str, Function]

    def find(self, name: str) -> Function:
        """The method of that name.

        Raises:
            InputError: there is none.
        """
        if name not in self.methods:
            raise InputError(f"--method {name}: there is no such {self.kind}{nearest(name, self.methods)}")
        return self.methods[name]

    def defaults(self, name: str) -> dict[str, Any]:
        """The options of a method and their defaults."""
        return defaults(self.find(name))

    def check(self, name: str, options: dict[str, Any]) -> None:
        """Check the options of a method.

        Raises:
            InputError: it does not have an option, or a value is out of its range.
        """
        check_values(name, self.find(name), options)

    def parse(self, name: str, assignments: Iterable[str]) -> dict[str, Any]:
        """Parse ``NAME=VALUE`` texts.

        Raises:
            InputError: there is no such method, a text has no ``=``, or an option or its value is invalid.
        """
        values = parse_keywords(name, self.find(name), assignments)
        self.check(name, values)
        return values


__all__ = ["MethodTable"]
