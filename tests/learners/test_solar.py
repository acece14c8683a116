"""SoLar against loops written from its equations."""

from math import ceil

import pytest
import torch

from zerolabel.blocks import targets
from zerolabel.learners import SoLar
from zerolabel.learners.base import Batch, Epoch
from zerolabel.networks import build


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
    y = learner.pseudo_labels(torch.rand(12, 4).softmax(1), index)
    assert y[1] == 2 and bool(learner.candidates[index, y].all())
    assert learner.queue.labels[:12].tolist() == index.tolist()


def test_step_against_the_loop_without_mixing(world) -> None:  # type: ignore[no-untyped-def]
    learner = learner_of(world, mixup=0.0, prior=(4.0, 1.0, 1.0, 2.0))
    index = torch.arange(8)
    x = world.features[index]
    batch = Batch(index, (x, x))
    p = learner.network(x).detach().softmax(1)
    balanced = targets.sinkhorn((p * learner.candidates[index]) ** 3, learner.prior)
    y = balanced.argmax(1).tolist()
    terms = learner.training_step(0.5, 0.9, batch)
    chosen = set()
    for c in range(4):
        members = sorted((i for i in range(8) if y[i] == c), key=lambda i: -float(p[i, c]))
        expected = 0.5 * 8 * float(learner.prior[c])  # of this class in a batch
        chosen |= set(members[: max(1, ceil(expected - 1e-6))]) | {i for i in members if p[i, c] > 0.99}
    expected = -sum(float(p[i, y[i]].log()) for i in chosen) / len(chosen)
    assert terms["chosen"].item() == pytest.approx(0.9 * expected, rel=1e-3)
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
