"""Whole steps of Co-Reg's co-training against those of the released code."""

import pytest
import torch
from coreg_case import learner_of, network_pairs, orders, projector_pairs
from golden_case import Case
from torch import Tensor

from zerolabel.blocks import mixup
from zerolabel.learners.base import Batch

TERMS = {"consistency": "labeled", "unlabeled": "unlabeled", "prototype": "prototype", "contrast": "contrast"}


def follow(case: Case, monkeypatch: pytest.MonkeyPatch, tolerance: float) -> None:
    """Take the steps of a case and compare losses, targets, weights, running statistics, prototypes and queue."""
    learner, targets = learner_of(case), []
    consistency, no_tilt = learner.consistency, (torch.ones(len(case["start.head.weight"])),) * 2
    learner.consistency = lambda *given: (targets.append(given[3]), consistency(*given))[1]  # type: ignore[method-assign]
    trained = [*learner.network.parameters(), *learner.side.projector.parameters()]
    optimizer = torch.optim.SGD(trained, lr=0.01, momentum=0.9, weight_decay=5e-4)
    for s, order in enumerate(orders(case)):
        mix = mixup.Mix(float(case.share[s]), order)
        monkeypatch.setattr(mixup, "draw", lambda *_, mix=mix: mix)
        learner.train()
        batches = Batch(case.index_p[s], tuple(case.views_p[s])), Batch(case.index_u[s], tuple(case.views_u[s]))
        terms = learner.co_step(
            learner.network, learner.side, learner.peer, case.weight, case.scores, no_tilt, case.since, *batches
        )
        assert set(terms) == set(TERMS if case.since > 10 else ("consistency", "unlabeled"))
        for name, value in terms.items():
            assert value.item() == pytest.approx(float(case[TERMS[name]][s]), abs=tolerance), (case.name, s, name)
        same(
            targets[-1][: sum(map(len, (case.index_p[s], case.index_u[s])))],
            torch.cat([case.target_p[s], case.target_u[s]]),
        )
        optimizer.zero_grad(set_to_none=True)
        sum(terms.values()).backward()
        optimizer.step()
        if f"after{s + 1}.enc.weight" in case:
            compare(learner, case, f"after{s + 1}")


def compare(learner, case: Case, prefix: str) -> None:  # type: ignore[no-untyped-def]
    pairs = network_pairs(learner.network, case, prefix) + projector_pairs(learner.side.projector, case, prefix)
    pairs += [(learner.prototypes.vectors, case[f"{prefix}.prototypes"])]
    for own, given in [*pairs, (learner.side.queue.keys, case[f"{prefix}.queue"])]:
        same(own, given)


def same(own: Tensor, given: Tensor) -> None:
    torch.testing.assert_close(own.detach(), given, rtol=0, atol=1e-5)
