"""LWS against weights, loss and gradient of PLENCH (wwangwitsel/PLENCH @ 4357c29)."""

import pytest
import torch
from golden_case import load
from golden_partial import close, gradient_of, mirror, whole

from zerolabel.learners.lws import LWS


@pytest.mark.parametrize("size", ["c5", "c10", "c47"])
def test_two_looks(size: str, make_annotations) -> None:  # type: ignore[no-untyped-def]
    case = load("lws")[size]
    n, n_classes = case.sets.shape
    annotations = make_annotations(torch.zeros(n, 0, dtype=torch.long), n_classes, candidates=case.sets.bool())
    learner, logits = LWS(mirror(n_classes), annotations, beta=float(case.beta)), case.next_logits.clone()
    close(learner.weight, case.start)
    learner.training_step(whole(case.logits))
    close(learner.weight, case.weights, 1e-3)  # theirs have 1e-8 for every class in the divisor
    learner.weight.copy_(case.weights)
    (loss,) = learner.training_step(whole(logits.requires_grad_())).values()
    close(loss, case.loss)
    close(gradient_of(loss, logits), case.gradient)
