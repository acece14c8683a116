"""DivideMix against two steps and the ramp of the authors' code (LiJunnan1992/DivideMix @ d9d3058)."""

import pytest
import torch
from golden_case import load
from golden_noisy import close, fill, mirror, network_of, weights_of

from zerolabel.blocks import mixup
from zerolabel.learners.base import Batch, Epoch
from zerolabel.learners.dividemix import DivideMix

CASES = ("c5", "c10", "c47")


@pytest.mark.parametrize("name", CASES)
def test_two_steps(name: str, make_annotations, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    case = load("dividemix")[name]
    n_classes, n, m = len(case["start.head.weight"]), case.index_p.shape[1], case.index_u.shape[1]
    annotations = make_annotations(case.label[:, None], n_classes)
    learner = DivideMix(network_of(case, "start"), annotations, warm_up=case.warm_up, unlabeled_weight=25.0)
    fill(learner.peer, case, "peer")
    optimizer = torch.optim.SGD(learner.network.parameters(), lr=0.02, momentum=0.9, weight_decay=5e-4)
    # the file's rows are P1 P2 U1 U2, the learner's P1 U1 P2 U2
    place = torch.cat([torch.arange(n), torch.arange(n) + n + m, torch.arange(m) + n, torch.arange(m) + 2 * n + m])
    for s, share in enumerate(case.share):
        order = torch.empty_like(case.order[s])
        order[place] = place[case.order[s]]
        mix = mixup.Mix(float(share), order)
        monkeypatch.setattr(mixup, "draw", lambda *_, drawn=mix: drawn)
        lambda_u = float(case.unlabeled_weight[s])
        batches = (
            Batch(case.index_p[s], tuple(case.views_p[s])),
            Batch(case.index_u[s], tuple(case.views_u[s])),
        )
        terms = learner.train().co_step(learner.network, learner.peer, case.weight, lambda_u / n_classes, *batches)
        if s == 0:
            for term in ("labeled", "unlabeled", "penalty"):
                close(terms[term], case[term][0])
        optimizer.zero_grad()
        sum(terms.values()).backward()
        optimizer.step()
        for mine, theirs in weights_of(learner.network, case, f"after{s + 1}"):
            close(mine, theirs)


def test_ramp(make_annotations) -> None:  # type: ignore[no-untyped-def]
    case = load("dividemix")["ramp"]
    learner = DivideMix(mirror(4), make_annotations(torch.arange(8)[:, None] % 4, 4), warm_up=0, mixup=0.0)
    x = torch.randn(8, 4)

    def term(number: int, progress: float) -> float:
        first, *_ = learner.passes(Epoch(number, 0.5, lambda _: torch.rand(8, 4).softmax(1)))
        parts = (Batch(rows, (x[rows], x[rows]), progress) for rows in (torch.arange(4), torch.arange(4, 8)))
        return first.step(*parts)["unlabeled"].item()

    for since, expected in zip(case.since.tolist(), case.weight.tolist(), strict=True):
        assert term(int(since), since % 1) / term(16, 0.0) * 25 == pytest.approx(expected, abs=1e-5)
