"""Co-Reg's learning rate, and the rise of its unlabeled term within an epoch, against the released code."""

import pytest
import torch
from coreg_case import annotations_of
from golden_case import load

from zerolabel.learners import CoReg
from zerolabel.networks import build
from zerolabel.training.settings import Settings


def test_learning_rate() -> None:
    case = load("coreg_schedule")["lr"]
    how = Settings(epochs=100, period=int(case.period), lr=case.start, final_lr=case.final_share)
    for epoch, rate in zip(case.epoch.tolist(), case.rate.tolist(), strict=True):
        assert how.lr_at(epoch) == pytest.approx(rate, rel=1e-9, abs=1e-9)


def test_ramp_by_batch() -> None:
    case = load("coreg_schedule")["ramp"]
    learner = CoReg(build("linear", 3, 4), annotations_of(torch.ones(4, 3)), queue=2, embedding=2)
    for time, weight in zip(case.time.tolist(), case.weight.tolist(), strict=True):
        assert learner.lambda_u(time - case.warm_up) == pytest.approx(weight, abs=1e-9)
