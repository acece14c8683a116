"""The training steps of unsupervised adaptation on fixed batches, by hand: a wrong sign, target or weight shows."""

import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from zerolabel.blocks import losses
from zerolabel.blocks.pseudo_labels import boards
from zerolabel.learners.base import Batch, Epoch
from zerolabel.learners.cpl import CPL
from zerolabel.learners.dpa import relative
from zerolabel.learners.grip import GRIP
from zerolabel.learners.pouf import POUF
from zerolabel.learners.tent import Tent
from zerolabel.learners.ueo import UEO
from zerolabel.learners.upl import UPL
from zerolabel.networks import build

P = [[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.25, 0.25, 0.5]]
"""Predictions of a batch of three images."""
LOGITS = torch.tensor(P).log()


def entropy(row):
    return -sum(p * math.log(p) for p in row if p > 0)


MEAN = [sum(row[c] for row in P) / 3 for c in range(3)]


def answering(kind, make_annotations, scores, human=(), **options):
    """A learner whose network answers with the logits that it is shown."""
    labels = torch.full((len(scores),), -1)
    for i, c in human:
        labels[i] = c
    annotations = make_annotations(scores.argmax(1, keepdim=True), scores.shape[1], scores=scores)
    learner = kind(build("linear", scores.shape[1], 3), annotations.with_labels(labels), **options)
    learner.network = nn.Identity()
    return learner


def batch(*index):
    rows = torch.tensor(index, dtype=torch.long)
    return Batch(rows, (LOGITS[rows],))


def values(terms):
    return {name: float(term) for name, term in terms.items()}


def test_grip_learns_the_chosen_labels(make_annotations):
    learner = answering(GRIP, make_annotations, torch.tensor(P), [(2, 1)])
    learner.chosen[0, 1], learner.chosen[1, 2] = True, True  # not what the scores say
    found = values(learner.training_step(batch(0, 1), batch(2)))
    assert found == pytest.approx({"pseudo": -(math.log(0.2) + math.log(0.1)) / 2, "human": -math.log(0.25)})
    learner.chosen[0, 0] = True  # on two boards: the mean over both
    both = values(learner.training_step(batch(0), batch()))["pseudo"]
    assert both == pytest.approx(-(math.log(0.7) + math.log(0.2)) / 2)


def test_grip_looks_at_the_network_from_the_second_round_on(make_annotations):
    learner = answering(GRIP, make_annotations, torch.tensor(P), rounds=2, k=1, growing=False)
    seen = torch.tensor([[0.0, 0.1, 0.9], [0.9, 0.1, 0.0], [0.1, 0.9, 0.0]])
    for progress, wanted in ((0.0, [0, 1, 2]), (0.4, [0, 1, 2]), (0.5, [2, 0, 1])):
        (one,) = learner.passes(Epoch(int(progress * 10), progress, lambda _: seen))
        assert learner.chosen.float().argmax(1).tolist() == wanted
        assert one.groups[0].tolist() == [0, 1, 2]


def test_grip_draws_an_image_once_for_each_of_its_boards(make_annotations):
    scores = torch.tensor([[0.6, 0.3, 0.1], [0.5, 0.4, 0.1]])
    learner = answering(GRIP, make_annotations, scores, rounds=1, k=1, growing=False, boards=True)
    (one,) = learner.passes(Epoch(0, 0.0, lambda _: scores))
    # image 1 is below image 0 on its best class's board, and both others have room
    assert learner.chosen.nonzero().tolist() == [[0, 0], [1, 1], [1, 2]]
    assert one.groups[0].tolist() == [0, 1, 1]
    # a third one enters the board of its best class, and is offered to no other
    third = torch.cat([scores, torch.tensor([[0.2, 0.45, 0.35]])])
    assert boards(third, torch.tensor([1, 1, 1])).nonzero().tolist() == [[0, 0], [1, 2], [2, 1]]


def test_pseudo_labels_of_unseen_names_alone(make_annotations):
    scores = torch.tensor([[0.50, 0.45, 0.05], [0.02, 0.60, 0.38], [0.9, 0.05, 0.05]])
    learner = answering(GRIP, make_annotations, scores, [(2, 0)], rounds=1, k=1, growing=False, seen=(0,))
    assert learner.choose(scores, 1).tolist() == [1, 2, -1]
    assert learner.select(scores, 1).nonzero().tolist() == [[0, 1], [1, 2]]


def test_cpl_learns_its_own_sets(make_annotations):
    learner = answering(CPL, make_annotations, torch.tensor(P))
    learner.sets[0], learner.sets[1] = torch.tensor([False, True, True]), torch.tensor([True, False, False])
    found = values(learner.training_step(batch(0, 1)))
    assert found == pytest.approx({"partial": -(math.log(0.3) + math.log(0.1)) / 2})


def test_upl_learns_the_annotators_best_class(make_annotations):
    scores = torch.tensor([[0.1, 0.9, 0.0], [0.2, 0.8, 0.0], [0.7, 0.2, 0.1]])
    learner = answering(UPL, make_annotations, scores, [(1, 2)], k=1)
    assert learner.chosen.tolist() == [1, 2, 0]
    found = values(learner.training_step(batch(0, 1, 2)))
    assert found == pytest.approx({"pseudo": -(math.log(0.2) + math.log(0.1) + math.log(0.25)) / 3})


@pytest.mark.parametrize("spread", [0.0, 2.0])
def test_tent_lowers_entropy_and_keeps_to_the_prior(make_annotations, spread):
    learner = answering(Tent, make_annotations, torch.tensor(P), [(2, 0)], spread=spread, prior=(1.0, 2.0, 1.0))
    prior = [0.25, 0.5, 0.25]
    found = values(learner.training_step(batch(0, 1, 2), batch(2)))
    assert found == pytest.approx(
        {
            "entropy": sum(entropy(row) for row in P) / 3,
            "spread": spread * sum(q * math.log(q / m) for q, m in zip(prior, MEAN, strict=True)),
            "human": -math.log(0.25),
        }
    )


def test_pouf_moves_both_ways_and_spreads(make_annotations):
    prior = [0.25, 0.5, 0.25]
    learner = answering(POUF, make_annotations, torch.tensor(P), prior=tuple(prior), scale=2.0, weight=0.3)
    found = values(learner.training_step(batch(0, 1, 2), batch()))
    cost = [[1 - math.log(p) / 2 for p in row] for row in P]
    columns = [sum(row[c] for row in P) for c in range(3)]
    there = sum(P[i][c] * cost[i][c] for i in range(3) for c in range(3)) / 3
    back = sum(prior[c] * P[i][c] / columns[c] * cost[i][c] for i in range(3) for c in range(3))
    assert found == pytest.approx(
        {
            "to_classes": there,
            "to_images": back,
            "entropy": 0.3 * sum(entropy(row) for row in P) / 3,
            "spread": 0.3 * sum(m * math.log(m / q) for q, m in zip(prior, MEAN, strict=True)),
            "human": 0.0,
        },
        rel=1e-4,
    )


def test_ueo_weighs_entropies_by_sureness_and_the_mean_by_its_inverse(make_annotations):
    learner = answering(UEO, make_annotations, torch.tensor(P), [(1, 0)], scale=1.0, gamma=0.5)
    w = [0.7, 0.8, 0.5]
    assert learner.weight.tolist() == pytest.approx(w)
    mean = [sum(P[i][c] / w[i] for i in range(3)) / sum(1 / x for x in w) for c in range(3)]
    found = values(learner.training_step(batch(0, 1, 2), batch(1)))
    assert found == pytest.approx(
        {
            "entropy": sum(x * entropy(row) for x, row in zip(w, P, strict=True)) / sum(w),
            "spread": -0.5 * entropy(mean),
            "human": -math.log(0.1),
        }
    )


def test_divergence_of_the_mean():
    logits, prior = torch.randn(5, 4, dtype=torch.double, requires_grad=True), torch.tensor([0.1, 0.2, 0.3, 0.4])
    mean = logits.softmax(1).mean(0)
    wanted = (mean * (mean / prior.double()).log()).sum()
    assert_close(losses.divergence_of_mean(logits, prior), wanted)
    assert torch.autograd.gradcheck(lambda x: losses.divergence_of_mean(x, prior.double()), logits)
    assert float(losses.divergence_of_mean(torch.zeros(0, 4), prior)) == 0
    flat = torch.full((4,), 0.25)
    equal = losses.entropy_of_mean(logits, torch.ones(5, dtype=torch.double))
    assert_close(losses.divergence_of_mean(logits, flat), math.log(4) - equal)


def test_relative_confidence_of_dpa():
    y = torch.eye(3)[[0, 1, 2]]
    # confidences .7, .8, .5 over their mean 2/3, at most 1
    assert relative(torch.tensor(P), y).tolist() == pytest.approx([1.0, 1.0, 0.75])
