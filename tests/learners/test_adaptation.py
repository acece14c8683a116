"""Selection of pseudo-labels and the losses of unsupervised adaptation, against plain loops."""

import math

import pytest
import torch
from torch import Tensor

from zerolabel import losses, pseudo_labels
from zerolabel.learners.cpl import CPL
from zerolabel.learners.grip import GRIP
from zerolabel.learners.ueo import UEO
from zerolabel.learners.upl import UPL
from zerolabel.networks import build
from zerolabel.training import Settings, make_optimizer


def greedy(p: Tensor, counts: list[int]) -> list[int]:
    """All pairs of an image and a class in order of probability, taken while both are free."""
    chosen, room = [-1] * len(p), list(counts)
    pairs = sorted(((float(p[i, c]), i, c) for i in range(len(p)) for c in range(p.shape[1])), key=lambda t: -t[0])
    for _, i, c in pairs:
        if chosen[i] < 0 and room[c] > 0:
            chosen[i], room[c] = c, room[c] - 1
    return chosen


@pytest.mark.parametrize("counts", [[3, 3, 3], [1, 0, 20], [20, 20, 20], [7, 7, 6]])
def test_top_per_class_is_the_greedy_choice(counts: list[int]) -> None:
    for seed in range(5):
        p = torch.randn(20, 3, generator=torch.Generator().manual_seed(seed)).mul(2).softmax(1)
        chosen = pseudo_labels.top_per_class(p, torch.tensor(counts))
        assert chosen.tolist() == greedy(p, counts)
    assert pseudo_labels.top_per_class(torch.zeros(0, 3), torch.tensor(counts)).shape == (0,)


def test_top_of_predicted_stays_with_the_best_class() -> None:
    p = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.4, 0.6]])
    assert pseudo_labels.top_of_predicted(p, torch.tensor([2, 2])).tolist() == [0, 0, -1, 1]


def test_counts_grow_to_all_images_and_follow_the_prior() -> None:
    uniform = torch.full((4,), 0.25)
    grown = [
        pseudo_labels.counts_for(uniform, 1000, k=16, round_=t, rounds=10, growing=True).tolist() for t in range(1, 11)
    ]
    assert grown == [[t * 100 // 4] * 4 for t in range(1, 11)]
    fixed = pseudo_labels.counts_for(uniform, 40, k=16, round_=3, rounds=10, growing=False)
    assert fixed.tolist() == [10] * 4
    skewed = pseudo_labels.counts_for(torch.tensor([0.7, 0.2, 0.1, 0.0]), 1000, k=10, round_=1, rounds=1, growing=False)
    assert skewed.tolist() == [28, 8, 4, 1]


def test_grip_chooses_per_class_and_never_a_human_label(world) -> None:  # type: ignore[no-untyped-def]
    labels = torch.full((len(world.truth),), -1)
    labels[:40] = 0
    learner = GRIP(build("linear", 4, 12), world.annotations.with_labels(labels), rounds=1, growing=False, k=5)
    chosen = learner.choose(learner.scores, 1)
    assert torch.bincount(chosen[chosen >= 0], minlength=4).tolist() == [5] * 4
    assert bool((chosen[:40] == -1).all())
    assert chosen[40:].tolist() == greedy(world.annotations.scores[40:], [5] * 4)


def test_upl_takes_the_surest_of_each_predicted_class(world) -> None:  # type: ignore[no-untyped-def]
    learner, scores = UPL(build("linear", 4, 12), world.annotations, k=5), world.annotations.scores
    for c in range(4):
        rows = (scores.argmax(1) == c).nonzero().squeeze(1)
        best = rows[scores[rows, c].argsort(descending=True)[:5]].tolist()
        assert sorted((learner.chosen == c).nonzero().squeeze(1).tolist()) == sorted(best)


def test_cpl_pins_human_labels(world) -> None:  # type: ignore[no-untyped-def]
    labels = torch.full((len(world.truth),), -1)
    labels[3] = 2
    learner = CPL(build("linear", 4, 12), world.annotations.with_labels(labels))
    assert learner.form(learner.scores)[3].tolist() == [False, False, True, False]


def entropy(p: list[float]) -> float:
    return -sum(x * math.log(x) for x in p if x > 0)


def test_entropies_of_ueo_against_loops() -> None:
    logits, w = torch.randn(6, 4, dtype=torch.double), torch.rand(6, dtype=torch.double) + 0.1
    p = logits.softmax(1).tolist()
    first = sum(float(w[i]) * entropy(p[i]) for i in range(6)) / float(w.sum())
    mean = [sum(float(w[i]) * p[i][c] for i in range(6)) / float(w.sum()) for c in range(4)]
    assert float(losses.weighted_entropy(logits, w)) == pytest.approx(first, rel=1e-10)
    assert float(losses.entropy_of_mean(logits, w)) == pytest.approx(entropy(mean), rel=1e-10)
    logits.requires_grad_()
    for loss in (losses.weighted_entropy, losses.entropy_of_mean):
        assert torch.autograd.gradcheck(lambda x, loss=loss: loss(x, w), logits)
        assert float(loss(torch.zeros(0, 4), torch.zeros(0))) == 0
    equal = torch.ones(6, dtype=torch.double)
    mean = -losses.negative_entropy(logits).item()
    assert losses.weighted_entropy(logits, equal).item() == pytest.approx(mean)


def test_weights_of_ueo_are_the_softmax_of_unscaled_cosines(make_annotations) -> None:  # type: ignore[no-untyped-def]
    cosines = torch.rand(8, 5) * 0.2
    scores = (100 * cosines).softmax(1)
    annotations = make_annotations(scores.argmax(1, keepdim=True), 5, scores=scores)
    learner = UEO(build("linear", 5, 3), annotations)
    torch.testing.assert_close(learner.weight, cosines.softmax(1).amax(1), rtol=1e-4, atol=1e-6)


def test_ueo_trains_at_two_rates(world) -> None:  # type: ignore[no-untyped-def]
    learner = UEO(build("mlp", 4, 12), world.annotations, image_rate=0.1)
    groups = make_optimizer(learner, Settings(lr=0.5)).param_groups
    assert [group["lr"] for group in groups] == [0.5, 0.05]
    assert {id(p) for p in groups[1]["params"]} == {id(p) for p in learner.network.backbone.parameters()}
    assert {id(p) for p in groups[0]["params"]} == {id(p) for p in learner.network.head.parameters()}
