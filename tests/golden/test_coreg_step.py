"""Co-Reg's whole step, without batch normalization, with MixUp, against the released code."""

import pytest
from coreg_steps import follow
from golden_case import load


def test_one_and_five_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    for case in load("coreg_step").values():
        follow(case, monkeypatch, 1e-5)
