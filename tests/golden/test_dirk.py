"""DIRK's rectified target against PLENCH (wwangwitsel/PLENCH @ 4357c29)."""

import pytest
from golden_case import load
from golden_partial import close

from zerolabel.blocks import targets


@pytest.mark.parametrize("size", ["c5", "c10", "c47"])
def test_target(size: str) -> None:
    case = load("dirk")[size]
    close(targets.rectify(case.logits.softmax(1), case.sets.bool()), case.target, 1e-6)
