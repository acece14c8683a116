"""MUST against the authors' code (salesforce/MUST @ 1e0f84e), without its masked images."""

from math import log

import pytest
import torch
from golden_case import load
from golden_noisy import close, mirror

from zerolabel.learners.base import Batch
from zerolabel.learners.must import MUST


@pytest.mark.parametrize("name", ["c5", "c10", "c47"])
def test_both_terms(name: str, make_annotations) -> None:  # type: ignore[no-untyped-def]
    case = load("must")[name]
    n, n_classes = case.logits.shape
    annotations = make_annotations(torch.arange(n)[:, None] % n_classes, n_classes)
    learner = MUST(mirror(n_classes), annotations, threshold=case.threshold, prior="uniform")
    x = case.logits.clone().requires_grad_()
    terms = learner.training_step(Batch(torch.arange(n), (case.teacher_logits, x)))
    close(terms["self_training"], case.self_training)
    close(terms["fairness"], case.fairness - log(n_classes))  # ours is a divergence: less by the prior's entropy
    for term in ("self_training", "fairness"):
        (gradient,) = torch.autograd.grad(terms[term], x, retain_graph=True)
        close(gradient, case[f"{term}_gradient"])
