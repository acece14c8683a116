"""CR-DPLL against loss, gradients and confidence of PLENCH for two views (wwangwitsel/PLENCH @ 4357c29)."""

import pytest
import torch
from golden_case import load
from golden_partial import close, gradient_of, mirror, whole

from zerolabel.learners.crdpll import CRDPLL


@pytest.mark.parametrize("size", ["c5", "c10", "c47"])
def test_two_views(size: str, make_annotations) -> None:  # type: ignore[no-untyped-def]
    case = load("crdpll")[size]
    n, n_classes = case.sets.shape
    annotations = make_annotations(torch.zeros(n, 0, dtype=torch.long), n_classes, candidates=case.sets.bool())
    learner = CRDPLL(mirror(n_classes), annotations)
    close(learner.confidence, case.start)
    first, second = (logits.clone().requires_grad_() for logits in (case.logits, case.second_logits))
    loss = sum(learner.training_step(case.weight, whole(first, second)).values())
    close(loss, case.loss)
    close(gradient_of(loss, first), case.gradient)  # type: ignore[arg-type]
    close(gradient_of(loss, second), case.second_gradient)  # type: ignore[arg-type]
    close(learner.confidence, case["confidence"])
