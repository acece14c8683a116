"""Options of transductive and few-shot methods, read from NAME=VALUE."""

from collections.abc import Iterable
from typing import Any

from zerolabel.adaptation import few_shot, transduction
from zerolabel.options import parse_keywords


def parse_solver(method: str, assignments: Iterable[str]) -> dict[str, Any]:
    """Read ``NAME=VALUE`` texts for a solver of `zerolabel.adaptation.transduction`.

    Raises:
        InputError: there is no such method, a text has no ``=``, a name is unknown, or a value cannot be.
    """
    values = parse_keywords(method, transduction.find_solver(method), assignments)
    transduction.check(method, values)
    return values


def parse_few_shot(method: str, assignments: Iterable[str]) -> dict[str, Any]:
    """Read ``NAME=VALUE`` texts for a method of `zerolabel.adaptation.few_shot`.

    Raises:
        InputError: there is no such method, a text has no ``=``, a name is unknown, or a value cannot be.
    """
    values = parse_keywords(method, few_shot.find(method), assignments)
    few_shot.check(method, values)
    return values
