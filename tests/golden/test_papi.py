"""PaPi against three steps of the authors' code (AlphaXia/PaPi @ 251f5df)."""

import pytest
import torch
from golden_case import load
from golden_partial import batch_of, close, fill, mirror, network_of, projections_of, weights_of

from zerolabel.blocks import mixup
from zerolabel.learners.base import Batch
from zerolabel.learners.papi import PaPi


@pytest.mark.parametrize("size", ["c5", "c10", "c47"])
def test_three_steps(size: str, make_annotations, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    case = load("papi")[size]
    n, n_classes = case.sets.shape
    annotations = make_annotations(torch.zeros(n, 0, dtype=torch.long), n_classes, candidates=case.sets.bool())
    dimension = case["start.prototypes"].shape[1]
    learner = PaPi(network_of(case, "start"), annotations, embedding=dimension, temperature=case.temperature).train()
    fill(projections_of(learner.projector, case, "start"))  # type: ignore[arg-type]
    learner.prototypes.vectors.copy_(case["start.prototypes"])
    learner.prototypes.momentum = case.prototype_momentum
    optimizer = torch.optim.SGD(learner.parameters(), lr=case.lr, momentum=case.sgd_momentum)
    for s, share in enumerate(case.share.tolist()):
        mix = mixup.Mix(share, case.order[s])
        monkeypatch.setattr(mixup, "draw", lambda *_, drawn=mix: drawn)
        terms = learner.training_step(case.phi, 1.0, batch_of(case, s))
        close(terms["weighted"], case.classifier[s])
        close(terms["prototype"], case.prototype[s])
        optimizer.zero_grad()
        sum(terms.values()).backward()  # type: ignore[union-attr]
        optimizer.step()
        after = f"after{s + 1}"
        close(learner.confidence, case[f"{after}.confidence"])
        close(learner.prototypes.vectors, case[f"{after}.prototypes"])
        for mine, theirs in weights_of(learner.network, case, after):
            close(mine, theirs)
        for mine, theirs in projections_of(learner.projector, case, after):  # type: ignore[arg-type]
            close(mine, theirs)


def test_one_image(make_annotations) -> None:  # type: ignore[no-untyped-def]
    case = load("papi")["small"]
    votes, everything = torch.zeros(1, 0, dtype=torch.long), torch.ones(1, 2, dtype=torch.bool)
    learner = PaPi(mirror(2), make_annotations(votes, 2, candidates=everything), embedding=2).train()
    learner.confidence.copy_(case.start_confidence)
    x = case.probabilities.log().float()
    close(learner.training_step(case.phi, 0.0, Batch(torch.tensor([0]), (x, x)))["weighted"], case.classifier)
