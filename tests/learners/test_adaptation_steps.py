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
from zerolabel.learners.dpa import DPA, relative
from zerolabel.learners.grip import GRIP
from zerolabel.learners.lafter import LaFTer, text_classifier
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
    return {name: float(term.detach()) for name, term in terms.items()}


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


def test_lafter_learns_the_smoothed_label(make_annotations):
    scores = torch.tensor([[0.1, 0.9, 0.0], [0.2, 0.3, 0.5]])
    learner = answering(LaFTer, make_annotations, scores, [(1, 0)], smoothing=0.3)
    # .1 of each class, and .7 more of the annotators' class 1 and of a person's class 0
    wanted = [-0.1 * sum(map(math.log, P[i])) - 0.7 * math.log(P[i][c]) for i, c in ((0, 1), (1, 0))]
    assert values(learner.training_step(batch(0, 1))) == pytest.approx({"smoothed": sum(wanted) / 2})


def test_lafter_s_texts_keep_the_length_that_noise_gives_them(monkeypatch):
    monkeypatch.setattr(torch, "randn", lambda shape, generator: torch.ones(shape))
    w = text_classifier(torch.eye(2), torch.tensor([0, 1]), 1.0)
    # texts (1.1, .1) and (.1, 1.1); smoothed targets .95 and .05 are reached where d . (1, -1) = 2 log 19 / 1
    assert (w[0] - w[1]).tolist() == pytest.approx([math.log(19), -math.log(19)], abs=1e-3)


def test_relative_confidence_of_dpa():
    y = torch.eye(3)[[1, 1, 0]]
    # of the labels .2, .8 and .25, of the best classes .7, .8 and .5
    assert relative(torch.tensor(P), y).tolist() == pytest.approx([2 / 7, 1.0, 0.5])


def unit(x, y):
    return torch.tensor([x, y]) / math.hypot(x, y)


@pytest.fixture
def dpa(make_annotations):
    """DPA of two classes whose features are its images, and whose texts are the axes times a scale of 2."""
    annotations = make_annotations(torch.zeros(4, 1, dtype=torch.long), 2)
    learner = DPA(build("linear", 2, 2), annotations, share=0.5, scale=2.0, align=3.0, prior="uniform")
    network = learner.network
    network.features = lambda x: x
    with torch.no_grad():
        network.head.weight.copy_(2 * torch.eye(2))
        network.head.bias.zero_()
    return learner.train()


def test_dpa_starts_its_prototypes_from_a_look_at_all_images(dpa):
    x = torch.stack([unit(3, 4), unit(4, 3), unit(1, 0), unit(1, 0)])
    passes = iter(dpa.passes(Epoch(0, 0.0, lambda _: dpa.scores)))
    look = next(passes)
    assert look.views == ("weak",)
    before = [p.clone() for p in dpa.network.parameters()]
    look.step(Batch(torch.arange(4), (x,)))["first_look"].backward()
    assert all(p.grad is None for p in dpa.network.parameters()) and dpa.network.training
    next(passes)
    # class 0: (.8, .6) and twice (1, 0), which is (2.8, .6); class 1: (.6, .8)
    assert_close(dpa.prototypes, torch.stack([unit(2.8, 0.6), unit(3, 4)]))
    assert all(map(torch.equal, before, dpa.network.parameters()))
    dpa.sums[0] = torch.tensor([0.0, 5.0])
    assert next(passes, None) is None  # the epoch is over: class 1 had no image and takes its text
    assert_close(dpa.prototypes, torch.tensor([[0.0, 1.0], [0.0, 1.0]]))


def test_dpa_labels_weights_and_losses(dpa):
    dpa.prototypes.copy_(torch.tensor([[0.6, 0.8], [1.0, 0.0]]))
    x = torch.stack([unit(1, 0), unit(3, 4)])
    # p: logits (2, 0) and (1.2, 1.6), so .880797 and .401312 of class 0, whose mean is .641055
    # norm(p / m): .880797 / .641055 against .119203 / .358945 is .805358; .272886 of the second
    # r: logits 2 (.6, 1) and 2 (1, .6), so .310026 and .689974 of class 0
    # q of class 0: .557692 and .481430, so labels 0 and 1
    y, weight = dpa.pseudo_labels(x, Batch(torch.arange(2), (x, x)))
    assert y.argmax(1).tolist() == [0, 1]
    # of the model's own p, not of norm(p / m): 1 * .310026 / .689974, and 1 * the same
    assert weight.tolist() == pytest.approx([0.449329, 0.449329], abs=1e-5)
    assert_close(dpa.sums, x)
    terms = values(dpa.training_step(Batch(torch.arange(2), (x, x.flip(0)))))
    # both labels on the other image's view: -log .401312 and -log .119203
    assert terms["pseudo"] == pytest.approx(0.449329 * (0.913016 + 2.126928) / 2, abs=1e-5)
    # log 2 less than -(log .641055 + log .358945) / 2
    assert terms["spread"] == pytest.approx(0.734578 - 0.693147, abs=1e-4)
    # prototypes (.6, .8) and (1, 0) against the texts: -log .401312 and -log .119203
    assert terms["align"] == pytest.approx(3 * (0.913016 + 2.126928) / 2, abs=1e-5)


def test_dpa_averages_the_predictions_of_32_batches(dpa):
    dpa.prototypes.copy_(torch.eye(2))
    first, other = unit(1, 0)[None], unit(0, 1)[None]  # .880797 of class 0, and .119203
    for k in range(33):
        x = other if k else first
        y, _ = dpa.pseudo_labels(x, Batch(torch.tensor([0]), (x,)))
        # the first is in the mean of 32 batches, and not of 33
        share = 0.119203 + 0.761594 / (k + 1) * (k < 32)
        assert float(dpa.recent.sum(0)[0]) / min(k + 1, 32) == pytest.approx(share, abs=1e-5)
    assert int(dpa.batches) == 33 and y.argmax(1).tolist() == [1]
