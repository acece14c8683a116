"""Selection of pseudo-labels and the losses of unsupervised adaptation, against plain loops."""

import math

import pytest
import torch
from torch import Tensor

from zerolabel.blocks import losses, pseudo_labels
from zerolabel.learners.base import Batch
from zerolabel.learners.cpl import CPL
from zerolabel.learners.dpa import DPA
from zerolabel.learners.grip import GRIP
from zerolabel.learners.lafter import LaFTer, text_classifier
from zerolabel.learners.must import MUST
from zerolabel.learners.ueo import UEO
from zerolabel.learners.upl import UPL
from zerolabel.networks import build
from zerolabel.training.loop import make_optimizer
from zerolabel.training.settings import Settings


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


def test_transport_of_pouf_against_loops() -> None:
    z, prior = torch.randn(5, 3, dtype=torch.double) * 4, [0.5, 0.3, 0.2]
    e = z.exp().tolist()
    cost = (1 - z / 10).tolist()
    there = sum(sum(e[i][c] / sum(e[i]) * cost[i][c] for c in range(3)) for i in range(5)) / 5
    column = [sum(e[i][c] for i in range(5)) for c in range(3)]
    back = sum(prior[c] * sum(e[i][c] / column[c] * cost[i][c] for i in range(5)) for c in range(3))
    found = losses.transport(z, torch.tensor(prior), 10.0)
    assert [float(one) for one in found] == pytest.approx([there, back], rel=1e-5)
    assert [float(one) for one in losses.transport(torch.zeros(0, 3), torch.tensor(prior), 10.0)] == [0, 0]


def test_must_learns_what_its_teacher_is_sure_of(world) -> None:  # type: ignore[no-untyped-def]
    labels = torch.full((len(world.truth),), -1)
    labels[0] = 2
    learner = MUST(build("linear", 4, 12), world.annotations.with_labels(labels), threshold=0.9)
    weak, strong = world.features[:6], world.features[6:12]
    torch.nn.init.normal_(learner.teacher.copy.head.weight, std=0.8)
    logits, q = learner.network(strong), learner.teacher(weak).softmax(1).tolist()
    p = logits.softmax(1).tolist()
    wanted, sure = 0.0, 0
    for i in range(6):
        label = 2 if i == 0 else max(range(4), key=lambda c, i=i: q[i][c])
        if i == 0 or q[i][label] > 0.9:
            wanted, sure = wanted - math.log(p[i][label]), sure + 1
    assert 1 < sure < 6
    terms = learner.training_step(Batch(torch.arange(6), (weak, strong)))
    assert float(terms["self_training"]) == pytest.approx(wanted / sure, rel=1e-4)  # of the confident alone
    prior, mean = learner.prior.tolist(), [sum(p[i][c] for i in range(6)) / 6 for c in range(4)]
    fair = sum(prior[c] * math.log(prior[c] / mean[c]) for c in range(4))
    assert float(terms["fairness"]) == pytest.approx(fair, rel=1e-4)


def test_dpa_against_loops(world) -> None:  # type: ignore[no-untyped-def]
    learner = DPA(build("linear", 4, 12), world.annotations, share=0.4, scale=3.0)
    weak = world.features[:6]
    learner.prototypes.copy_(torch.nn.functional.normalize(torch.randn(4, 12), dim=1))
    learner.recent[0], learner.batches = torch.tensor([0.4, 0.3, 0.2, 0.1]), torch.tensor(1)
    raw = learner.network.features(weak).detach()
    f = (raw / raw.norm(dim=1, keepdim=True)).tolist()
    p = learner.network.head(raw).softmax(1).tolist()
    prior, vectors = learner.prior.tolist(), learner.prototypes.tolist()
    mean = [((0.4, 0.3, 0.2, 0.1)[c] + sum(row[c] for row in p) / 6) / 2 for c in range(4)]
    text, image, labels = [], [], []
    for i in range(6):
        row = [p[i][c] * prior[c] / mean[c] for c in range(4)]
        text.append([x / sum(row) for x in row])
        row = [math.exp(3 * sum(a * b for a, b in zip(f[i], v, strict=True))) for v in vectors]
        image.append([x / sum(row) for x in row])
        labels.append(max(range(4), key=lambda c, i=i: 0.6 * text[i][c] + 0.4 * image[i][c]))
    weight = [math.prod(q[i][labels[i]] / max(q[i]) for q in (p, image)) for i in range(6)]
    y, found = learner.pseudo_labels(weak, Batch(torch.arange(6), (weak, weak)))
    assert y.argmax(1).tolist() == labels
    assert found.tolist() == pytest.approx(weight, rel=1e-3)
    for c in range(4):
        mine = [f[i] for i in range(6) if labels[i] == c]
        total = [sum(column) for column in zip(*mine, strict=True)] if mine else [0.0] * 12
        assert learner.sums[c].tolist() == pytest.approx(total, abs=1e-5)


def test_lafter_learns_smoothed_labels_and_texts_alone_make_a_classifier(world) -> None:  # type: ignore[no-untyped-def]
    learner, x = LaFTer(build("linear", 4, 12), world.annotations), world.features[:5]
    log_p = learner.network(x).log_softmax(1).tolist()
    best = world.annotations.scores[:5].argmax(1).tolist()
    wanted = -sum((0.9 * (c == best[i]) + 0.025) * log_p[i][c] for i in range(5) for c in range(4)) / 5
    found = learner.training_step(Batch(torch.arange(5), (x,)))["smoothed"]
    assert float(found) == pytest.approx(wanted, rel=1e-5)
    centers = torch.nn.functional.normalize(torch.randn(3, 16), dim=1)
    owners = torch.arange(3).repeat(5)
    texts = torch.nn.functional.normalize(centers[owners] + 0.05 * torch.randn(15, 16), dim=1)
    weights = text_classifier(texts, owners, 10.0)
    images = torch.nn.functional.normalize(centers.repeat(10, 1) + 0.2 * torch.randn(30, 16), dim=1)
    right = ((images @ weights.T).argmax(1) == torch.arange(3).repeat(10)).float().mean()
    assert float(right) > 0.9 and torch.equal(weights, text_classifier(texts, owners, 10.0))


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
