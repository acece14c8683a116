"""CC against the loss and gradient of PLENCH (wwangwitsel/PLENCH @ 4357c29)."""

import pytest
import torch
from golden_case import load
from golden_partial import close, gradient_of, mirror, whole

from zerolabel.learners.cc import CC


@pytest.mark.parametrize("size", ["c5", "c10", "c47"])
def test_loss(size: str, make_annotations) -> None:  # type: ignore[no-untyped-def]
    case = load("cc")[size]
    n, n_classes = case.sets.shape
    annotations = make_annotations(torch.zeros(n, 0, dtype=torch.long), n_classes, candidates=case.sets.bool())
    logits = case.logits.clone().requires_grad_()
    (loss,) = CC(mirror(n_classes), annotations).training_step(whole(logits)).values()
    close(loss, case.loss, 1e-6)
    close(gradient_of(loss, logits), case.gradient, 1e-6)
