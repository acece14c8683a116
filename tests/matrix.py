"""Parametrized tests of which a few cases run by default and the others as slow ones."""

from collections.abc import Collection, Iterable

import pytest


def quick(few: Collection[str], names: Iterable[str]) -> list[object]:
    """Arguments of a parametrized test: those of ``few`` run by default, the others with ``make test-slow``."""
    names = list(names)
    assert set(few) <= set(names), f"not among the cases: {set(few) - set(names)}"
    return [name if name in few else pytest.param(name, marks=pytest.mark.slow) for name in names]
