"""CPL against the sets and the chosen images of the authors' code, exactly (vanillaer/CPL-ICML2024 @ c711980)."""

import pytest
import torch
from golden_case import load
from golden_partial import mirror

from zerolabel.annotations import candidates
from zerolabel.learners.base import Epoch
from zerolabel.learners.cpl import CPL

SIZES = ("c5", "c10", "c47")


@pytest.mark.parametrize("size", SIZES)
def test_sets(size: str) -> None:
    case = load("cpl")[size]
    found = candidates.quantiles(case.logits.softmax(1), case.alpha, case.beta)
    assert torch.equal(found.long(), case.sets)
    assert torch.equal(found.any(1).long(), case.kept)


@pytest.mark.parametrize("now", [1, 3, 6, 10])
@pytest.mark.parametrize("size", SIZES)
def test_images_of_a_round(size: str, now: int, make_annotations) -> None:  # type: ignore[no-untyped-def]
    cases = load("cpl")
    case, chosen = cases[size], cases[f"{size}_round{now}"].chosen
    p = case.logits.softmax(1)
    votes = torch.zeros(len(p), 0, dtype=torch.long)
    annotations = make_annotations(votes, p.shape[1], candidates=case.sets.bool(), scores=p)
    learner = CPL(mirror(p.shape[1]), annotations, alpha=case.alpha, beta=case.beta)
    (one,) = learner.passes(Epoch(now - 1, (now - 1) / 10, lambda _: p))
    assert torch.equal(learner.sets.long(), case.sets)
    assert one.groups[0].tolist() == sorted(chosen[:, 0].tolist())
    pairs = learner.choose(p, learner.sets, now)
    assert [[i, c] for i, c in enumerate(pairs.tolist()) if c >= 0] == chosen.tolist()
