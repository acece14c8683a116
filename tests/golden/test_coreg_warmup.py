"""Co-Reg's warm-up against the released code."""

import pytest
import torch
from golden_case import load

from zerolabel.blocks import losses


def test_warm_up_and_its_gradient() -> None:
    for case in load("coreg_warmup").values():
        logits = case.logits.requires_grad_()
        loss = losses.partial_cross_entropy(logits, case.sets.bool(), floor=1e-5)
        assert loss.item() == pytest.approx(case.loss, abs=1e-5), case.name
        torch.testing.assert_close(torch.autograd.grad(loss, logits)[0], case.gradient, rtol=0, atol=1e-6)


def test_negative_entropy_and_its_gradient() -> None:
    for case in load("coreg_warmup").values():
        logits = case.logits.requires_grad_()
        entropy = losses.negative_entropy(logits)
        assert entropy.item() == pytest.approx(case.entropy, abs=1e-6), case.name
        torch.testing.assert_close(torch.autograd.grad(entropy, logits)[0], case.entropy_gradient, rtol=0, atol=1e-6)
