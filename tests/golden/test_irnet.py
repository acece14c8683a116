"""IRNet's confidence and correction against one batch of the authors' training loop (zeroQiaoba/IRNet @ 26728ee)."""

import pytest
import torch
from golden_case import Case, load
from golden_partial import close, mirror, whole

from zerolabel.learners.irnet import IRNet

CASES = ("c5", "c10", "c47", "small")


def learner_of(case: Case, make_annotations) -> IRNet:  # type: ignore[no-untyped-def]
    n, n_classes = case.sets.shape
    annotations = make_annotations(torch.zeros(n, 0, dtype=torch.long), n_classes, candidates=case.sets.bool())
    return IRNet(mirror(n_classes), annotations, threshold=case.threshold, queue=4, embedding=2).train()


@pytest.mark.parametrize("name", CASES)
def test_correction(name: str, make_annotations) -> None:  # type: ignore[no-untyped-def]
    case = load("irnet")[name]
    learner = learner_of(case, make_annotations)
    learner.confidence.copy_(case.confidence_moved)
    views = torch.stack([case.similarity_1, case.similarity_2])
    learner.correct(torch.arange(len(case.sets)), views.softmax(2))
    assert torch.equal(learner.candidates.long(), case.sets_after)
    close(learner.confidence, case.confidence_after, 1e-6)


@pytest.mark.parametrize("name", CASES)
def test_a_whole_step(name: str, make_annotations, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """The confidence moves, the loss takes it, and then the sets are corrected."""
    case = load("irnet")[name]
    learner = learner_of(case, make_annotations)
    learner.confidence.copy_(case["confidence"])
    given = [case.similarity_1, case.similarity_2]
    monkeypatch.setattr(learner.prototypes, "similarity", lambda _: given.pop(0))
    logits = torch.randn(case.sets.shape)
    terms = learner.training_step(case.phi, True, True, whole(logits, logits, logits))
    close(terms["weighted"], -(case.confidence_moved * logits.log_softmax(1)).sum(1).mean(), 1e-5)
    assert torch.equal(learner.candidates.long(), case.sets_after)
    close(learner.confidence, case.confidence_after, 1e-6)
