"""SoLar against loops written from its equations."""

from math import ceil

import pytest
import torch

from zerolabel.blocks import mixup, targets
from zerolabel.errors import InputError
from zerolabel.learners import SoLar
from zerolabel.learners.base import Batch, Epoch
from zerolabel.networks import build


def sinkhorn(rows: list[list[float]], prior: list[float]) -> list[list[float]]:
    """Columns and rows scaled by turns, 50 times, one number after another."""
    n = len(rows)
    for _ in range(50):
        by = [prior[j] * n / sum(row[j] for row in rows) for j in range(len(prior))]
        rows = [[row[j] * by[j] for j in range(len(prior))] for row in rows]
        rows = [[value / sum(row) for value in row] for row in rows]
    return rows


def learner_of(world, **options: object) -> SoLar:  # type: ignore[no-untyped-def]
    torch.manual_seed(3)
    learner = SoLar(build("mlp", 4, 12), world.annotations, **({"queue": 16} | options))
    with torch.no_grad():
        learner.network.head.weight.mul_(20)
    return learner.train()


def test_the_prior_follows_the_best_candidates(world) -> None:  # type: ignore[no-untyped-def]
    learner = learner_of(world, warm_up=2, prior=(1.0, 1.0, 1.0, 5.0))
    before, p = learner.prior.clone(), torch.rand(len(world.truth), 4)
    counts = [0.0] * 4
    for i in range(len(p)):
        counts[max((j for j in range(4) if learner.candidates[i, j]), key=lambda j: float(p[i, j]))] += 1 / len(p)
    list(learner.passes(Epoch(1, 0.1, lambda _: p)))
    torch.testing.assert_close(learner.prior, 0.9 * before + 0.1 * torch.tensor(counts))
    before = learner.prior.clone()
    list(learner.passes(Epoch(3, 0.3, lambda _: p)))
    torch.testing.assert_close(learner.prior, 0.99 * before + 0.01 * torch.tensor(counts))


def test_pseudo_labels_stay_in_the_set_and_with_people(world) -> None:  # type: ignore[no-untyped-def]
    learner = learner_of(world, prior=(100.0, 1.0, 1.0, 1.0))
    learner.labels[1], learner.candidates[1] = 2, torch.tensor([False, False, True, False])
    index = torch.arange(12)
    rows = learner.pseudo_labels(torch.rand(12, 4).softmax(1), index)
    assert rows[1].tolist() == [0, 0, 1, 0] and not bool(rows[~learner.candidates[index]].any())
    torch.testing.assert_close(rows.sum(1), torch.ones(12))
    assert learner.queue.labels[:12].tolist() == index.tolist()


def test_step_against_the_loop_without_mixing(world) -> None:  # type: ignore[no-untyped-def]
    learner = learner_of(world, mixup=0.0, prior=(4.0, 1.0, 1.0, 2.0))
    index = torch.arange(8)
    x = world.features[index]
    batch = Batch(index, (x, x))
    p = learner.network(x).detach().softmax(1)
    balanced = sinkhorn([[float(v) ** 3 for v in row] for row in p * learner.candidates[index]], learner.prior.tolist())
    y = [row.index(max(row)) for row in balanced]
    loss = [-sum(balanced[i][j] * float(p[i, j].log()) for j in range(4)) for i in range(8)]
    sure = [sum(balanced[i][j] * float(p[i, j]) for j in range(4)) > 0.99 for i in range(8)]
    terms = learner.training_step(0.5, 0.9, batch)
    chosen = set()
    for c in range(4):
        members = sorted((i for i in range(8) if y[i] == c), key=lambda i: loss[i])
        expected = 0.5 * 8 * float(learner.prior[c])  # of this class in a batch
        chosen |= set(members[: max(1, ceil(expected))]) | {i for i in members if sure[i]}
    expected = sum(loss[i] for i in chosen) / len(chosen)
    assert 0 < len(chosen) < 8
    for term in ("chosen", "strong", "mixup"):  # the views are the same, and mixing is off
        assert terms[term].item() == pytest.approx(0.9 * expected, rel=1e-3)
    rest, total = [i for i in range(8) if i not in chosen], 0.0
    for i in rest:
        inside = p[i] * learner.candidates[i]
        total -= float((inside / inside.sum() * p[i].log()).sum())
    assert terms["rest"].item() == pytest.approx(0.1 * total / max(len(rest), 1), rel=1e-3)


def test_at_first_no_image_is_chosen(world) -> None:  # type: ignore[no-untyped-def]
    learner, index = learner_of(world), torch.arange(8)
    terms = learner.training_step(0.2, 0.0, Batch(index, (world.features[index],) * 2))
    with torch.no_grad():
        log_p = learner.network(world.features[index]).log_softmax(1)
    target = targets.restrict(log_p.exp(), learner.candidates[index])
    assert terms["rest"].item() == pytest.approx(-float((target * log_p).sum()) / 8, rel=1e-4)
    assert sum(float(value.detach()) for name, value in terms.items() if name != "rest") == 0


def test_strong_views_and_mixed_images_are_those_of_the_chosen(world, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    learner, index = learner_of(world), torch.arange(10)
    weak = world.features[index]
    strong, share = weak + 0.3 * torch.randn_like(weak), 0.7
    shown = torch.randperm(10)
    monkeypatch.setattr(mixup, "draw", lambda n, *_: mixup.Mix(share, shown[shown < n]))
    with torch.no_grad():
        logits = learner.network(weak)
    copy = learner_of(world)
    target = copy.pseudo_labels(logits.softmax(1), index)
    chosen = copy.choose(target, logits, 0.5)
    terms, own = learner.training_step(0.5, 0.8, Batch(index, (weak, strong))), target[chosen]
    with torch.no_grad():
        log_s = learner.network(strong[chosen]).log_softmax(1)
        order = shown[shown < int(chosen.sum())]
        x = share * weak[chosen] + (1 - share) * weak[chosen][order]
        log_m = learner.network(x).log_softmax(1)
    assert terms["strong"].item() == pytest.approx(-0.8 * float((own * log_s).sum()) / len(own), rel=1e-4)
    mixed = share * own + (1 - share) * own[order]
    assert terms["mixup"].item() == pytest.approx(-0.8 * float((mixed * log_m).sum()) / len(own), rel=1e-4)


def test_the_rest_learns_this_prediction_or_that_of_the_last_visit(world) -> None:  # type: ignore[no-untyped-def]
    index = torch.arange(8)
    batch = Batch(index, (world.features[index],) * 2)
    learner = learner_of(world, rest="visit")
    with torch.no_grad():
        log_p = learner.network(world.features[index]).log_softmax(1)
    target = targets.uniform_over(learner.candidates[index])  # not seen yet
    for _ in range(2):
        terms = learner.training_step(0.2, 0.0, batch)
        assert terms["rest"].item() == pytest.approx(-float((target * log_p).sum()) / 8, rel=1e-4)
        target = targets.restrict(log_p.exp(), learner.candidates[index])
    with pytest.raises(InputError, match="rest=visits: rest is 'pass' or 'visit'"):
        SoLar(build("mlp", 4, 12), world.annotations, rest="visits")
