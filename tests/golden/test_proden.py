"""PRODEN against losses and confidence of PLENCH (wwangwitsel/PLENCH @ 4357c29)."""

import pytest
import torch
from golden_case import load
from golden_partial import close, gradient_of, mirror, whole

from zerolabel.learners.proden import PRODEN


@pytest.mark.parametrize("size", ["c5", "c10", "c47"])
def test_two_looks(size: str, make_annotations) -> None:  # type: ignore[no-untyped-def]
    case = load("proden")[size]
    n, n_classes = case.sets.shape
    annotations = make_annotations(torch.zeros(n, 0, dtype=torch.long), n_classes, candidates=case.sets.bool())
    learner, logits = PRODEN(mirror(n_classes), annotations), case.logits.clone().requires_grad_()
    close(learner.confidence, case.start, 1e-6)
    (loss,) = learner.training_step(whole(logits)).values()
    close(loss, case.loss, 1e-6)
    close(gradient_of(loss, logits), case.gradient, 1e-6)
    learner.training_step(whole(case.next_logits))
    close(learner.confidence, case["confidence"], 1e-6)
    (after,) = learner.training_step(whole(case.logits)).values()
    close(after, case.next_loss, 1e-6)
