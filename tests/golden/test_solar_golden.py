"""SoLar against one batch of the authors' training loop (hbzju/SoLar @ 7311c87)."""

import pytest
import torch
from golden_case import Case, load
from golden_partial import close, mirror, network_of, weights_of, whole

from zerolabel.blocks import mixup, targets
from zerolabel.learners.base import Batch
from zerolabel.learners.solar import SoLar

TOLERANCE = 1e-4


def learner_of(case: Case, make_annotations, **options: object) -> SoLar:  # type: ignore[no-untyped-def]
    n, n_classes = case.sets.shape
    annotations = make_annotations(torch.zeros(n, 0, dtype=torch.long), n_classes, candidates=case.sets.bool())
    entries = len(case.queue)
    learner = SoLar(network_of(case, "start"), annotations, queue=entries, power=case.power, **options).train()
    learner.prior.copy_(case.prior)
    learner.queue.push(case.queue, torch.zeros(entries, dtype=torch.long), torch.ones(entries, dtype=torch.bool))
    return learner


@pytest.mark.parametrize("rest", ["visit", "pass"])
@pytest.mark.parametrize("size", ["c5", "c10", "c47"])
def test_a_step(size: str, rest: str, make_annotations, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    case = load("solar")[size]
    learner = learner_of(case, make_annotations, confidence=case.threshold, rest=rest)
    learner.seen.copy_(case["confidence"])
    monkeypatch.setattr(mixup, "draw", lambda *_: mixup.Mix(case.share, case.order))
    terms = learner.training_step(case.rho, case.eta, Batch(case.index, (case.weak, case.strong)))
    close(terms["chosen"] / case.eta, case.chosen_loss, TOLERANCE)
    close(terms["strong"] / case.eta, case.strong_loss, TOLERANCE)
    close(terms["mixup"] / case.eta, case.mixed_loss, TOLERANCE)
    expected = case.rest_loss if rest == "visit" else case.rest_loss_now
    close(terms["rest"] / (1 - case.eta), expected, TOLERANCE)
    close(learner.seen, case.confidence_after, TOLERANCE)
    if rest == "visit":
        optimizer = torch.optim.SGD(learner.network.parameters(), lr=0.1)
        sum(terms.values()).backward()  # type: ignore[union-attr]
        optimizer.step()
        for mine, theirs in weights_of(learner.network, case, "after1"):
            close(mine, theirs, TOLERANCE)


@pytest.mark.parametrize("size", ["c5", "c10", "c47"])
def test_rows_and_selection(size: str, make_annotations) -> None:  # type: ignore[no-untyped-def]
    case = load("solar")[size]
    learner = learner_of(case, make_annotations, confidence=case.threshold)
    with torch.no_grad():
        logits = learner.network(case.weak)
    rows = learner.pseudo_labels(logits.softmax(1), case.index)
    close(rows, case.rows, TOLERANCE)
    assert torch.equal(learner.choose(rows, logits, case.rho).long(), case.chosen)


@pytest.mark.parametrize("name", ["small0", "small1"])
def test_a_few_images(name: str, make_annotations) -> None:  # type: ignore[no-untyped-def]
    case = load("solar")[name]
    p = case.probabilities
    n, n_classes = p.shape
    flat = torch.full((n_classes,), 1 / n_classes, dtype=torch.double)
    close(targets.sinkhorn(p.double() ** 3, flat), case.rows, TOLERANCE)
    votes, everything = torch.zeros(n, 0, dtype=torch.long), torch.ones(n, n_classes, dtype=torch.bool)
    annotations = make_annotations(votes, n_classes, candidates=everything)
    learner = SoLar(mirror(n_classes), annotations, queue=8, mixup=0.0, confidence=1.0).train()
    x = p.float().log()
    close(learner.training_step(1.0, 1.0, whole(x, x))["chosen"], case.chosen_loss, TOLERANCE)
