"""CAVL against the candidates that PLENCH chooses (wwangwitsel/PLENCH @ 4357c29)."""

import pytest
import torch
from golden_case import load
from golden_partial import mirror, whole

from zerolabel.learners.cavl import CAVL


@pytest.mark.parametrize("size", ["c5", "c10", "c47"])
def test_the_candidate_that_is_learned(size: str, make_annotations) -> None:  # type: ignore[no-untyped-def]
    case = load("cavl")[size]
    n, n_classes = case.sets.shape
    annotations = make_annotations(torch.zeros(n, 0, dtype=torch.long), n_classes, candidates=case.sets.bool())
    learner = CAVL(mirror(n_classes), annotations)
    learner.training_step(whole(case.logits))
    assert torch.equal(learner.confidence.argmax(1), case.chosen)
