"""Lists learners and adaptation methods with papers, arguments, defaults and ranges, from docstrings."""

import inspect
import re
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from zerolabel.adaptation.few_shot import FEW_SHOT
from zerolabel.adaptation.methods import METHODS, Method
from zerolabel.adaptation.request import find
from zerolabel.adaptation.transduction import SOLVERS
from zerolabel.learners import LEARNERS, hyper_parameters
from zerolabel.options import defaults as option_defaults
from zerolabel.options import describe, keyword_types
from zerolabel.training.settings import find_learner


@dataclass(frozen=True)
class Argument:
    """One hyper-parameter.

    Attributes:
        name: for ``--set``.
        kind: its type in words.
        default: as the paper has it, unless the description says otherwise.
        meaning: one sentence.
    """

    name: str
    kind: str
    default: Any
    meaning: str


@dataclass(frozen=True)
class Entry:
    """One learner or adaptation method.

    Attributes:
        name: value of ``--method``.
        summary: one sentence.
        paper: authors, title, venue.
        details: the rest of the module's docstring: formulas and decisions.
        arguments: hyper-parameters.
        commands: commands that take an adaptation method.
    """

    name: str
    summary: str
    paper: str
    details: str
    arguments: tuple[Argument, ...]
    commands: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def learners(name: str | None = None) -> tuple[Entry, ...]:
    """All learners, or one.

    Raises:
        InputError: there is none of that name.
    """
    chosen = LEARNERS if name is None else {name: find_learner(name)}
    return tuple(entry(key, learner, hyper_parameters(learner)) for key, learner in chosen.items())


def methods(name: str | None = None) -> tuple[Entry, ...]:
    """All methods of ``adapt`` and ``transduce``, or one, with the defaults of ``adapt``.

    Raises:
        InputError: there is none of that name.
    """
    chosen = METHODS if name is None else {name: find(name)}
    return tuple(method(key, row) for key, row in chosen.items())


def method(name: str, row: Method) -> Entry:
    """One row of the table of methods; the meaning of an argument notes a default that differs in ``transduce``."""
    chosen: Callable[..., Any] = LEARNERS[row.learner] if row.learner else {**SOLVERS, **FEW_SHOT}[name]
    own = option_defaults(chosen)
    found = entry(name, chosen, {**own, **row.hyper_parameters})
    if name not in SOLVERS:
        return replace(found, commands=("adapt",))
    arguments = tuple(
        one if one.default == own[one.name] else replace(one, meaning=f"{one.meaning} In transduce: {own[one.name]}.")
        for one in found.arguments
    )
    return replace(found, arguments=arguments, commands=("adapt", "transduce"))


def entry(name: str, chosen: Callable[..., Any], defaults: dict[str, Any]) -> Entry:
    """Documentation of a class or a function, from its docstring and signature."""
    paper, _, details = inspect.cleandoc(sys.modules[chosen.__module__].__doc__ or "").partition("\n\n")
    summary = inspect.cleandoc(chosen.__doc__ or "").partition("\n\n")[0]
    types, meanings = keyword_types(chosen), _meanings(chosen)
    arguments = tuple(
        Argument(key, describe(types[key]), default, meanings.get(key, "")) for key, default in defaults.items()
    )
    return Entry(name, _line(summary), _line(paper), details, arguments)


def _meanings(chosen: Callable[..., Any]) -> dict[str, str]:
    """The ``Args`` section of a docstring, by name."""
    section = inspect.cleandoc(chosen.__doc__ or "").partition("Args:\n")[2]
    found = re.findall(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", section, re.MULTILINE)
    return {name: _line(text) for name, text in found}


def _line(text: str) -> str:
    return " ".join(text.split())
