"""ABLE's contrast and confidence against PLENCH (wwangwitsel/PLENCH @ 4357c29)."""

import pytest
import torch
from golden_case import load
from golden_partial import Always, close, gradient_of, mirror, whole

from zerolabel.learners.able import ABLE


@pytest.mark.parametrize("size", ["c5", "c10", "c47"])
def test_contrast(size: str, make_annotations) -> None:  # type: ignore[no-untyped-def]
    case = load("able")[size]
    n, n_classes = case.sets.shape
    annotations = make_annotations(torch.zeros(n, 0, dtype=torch.long), n_classes, candidates=case.sets.bool())
    learner = ABLE(mirror(n_classes), annotations, embedding=case.embeddings.shape[1], contrast_weight=1.0).train()
    learner.confidence.copy_(case["confidence"])
    learner.projector = Always(case.embeddings.clone().requires_grad_())
    terms = learner.training_step(whole(case.logits, case.second_logits))
    close(terms["contrast"], case.contrast)
    close(learner.confidence, case.next_confidence)
    # theirs is for the unit vectors themselves, ours goes through their normalization: the part along them is gone
    free = case.gradient - (case.gradient * case.embeddings).sum(1, keepdim=True) * case.embeddings
    close(gradient_of(terms["contrast"], learner.projector.values), free)
