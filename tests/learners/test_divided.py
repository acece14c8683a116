"""Noisy-label learners that divide the images, against loops written from their equations."""

from math import ceil, exp, log, log2

import pytest
import torch
from stepping import batch_of, best, epoch_of, human_of, learner_of, one_hot, softmax
from torch import nn
from torch.nn import functional as F

from zerolabel.blocks import targets
from zerolabel.data.views import Features
from zerolabel.learners import Learner
from zerolabel.learners.base import Epoch
from zerolabel.learners.dividemix import DivideMix
from zerolabel.learners.promix import ProMix
from zerolabel.learners.unicon import UNICON
from zerolabel.networks import build
from zerolabel.training import train
from zerolabel.training.settings import Settings


def test_dividemix_warms_up_on_the_given_labels(world) -> None:  # type: ignore[no-untyped-def]
    learner, batch = learner_of(DivideMix, world, warm_up=2, entropy_weight=0.5), batch_of(world, 0, 1)
    first, second = epoch_of(learner, 1)
    assert first.views == ("weak",) and len(first.groups[0]) == len(world.truth)
    for one, network in ((first, learner.network), (second, learner.peer)):
        p = [softmax(network, x) for x in batch.views[0]]
        expected = sum(-log(float(p[i][best(world, i, learner.labels)])) for i in (0, 1)) / 2
        expected += 0.5 * sum(float((q * q.log()).sum()) for q in p) / 2
        assert sum(term.item() for term in one.step(batch).values()) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("kind", [DivideMix, UNICON])
def test_targets_and_terms_of_the_second_phase(kind: type[Learner], world) -> None:  # type: ignore[no-untyped-def]
    human = human_of(world, at1=3, at6=2)
    learner = learner_of(kind, world, human, mixup=0.0, penalty=0.7)
    views = len(learner.views)
    trusted, rest = batch_of(world, 0, 1, 2, views=views), batch_of(world, 4, 6, views=views)
    own, peer, w = learner.network, learner.peer, torch.rand(len(world.truth))
    target, clean, learned = [], [], [[], []]
    for batch, partial in ((trusted, True), (rest, False)):
        for row, i in enumerate(batch.index.tolist()):
            mean = sum(softmax(own, view[row]) for view in batch.views[:2]) / 2
            other = sum(softmax(peer, view[row]) for view in batch.views[:2]) / 2
            y = one_hot(best(world, i, human))
            t = w[i] * y + (1 - w[i]) * mean if partial else (mean + other) / 2
            target.append(y if human[i] >= 0 else t**2 / (t**2).sum())
            clean.append(partial or bool(human[i] >= 0))
            for k in (0, 1):
                learned[k].append(batch.views[k - 2][row])
    p = torch.stack([softmax(own, x) for x in [*learned[0], *learned[1]]])
    target, clean = target * 2, clean * 2
    marked = [i for i in range(10) if clean[i]]
    labelled = sum(-float((target[i] * p[i].log()).sum()) for i in marked) / len(marked)
    unlabelled = sum(float(((p[i] - target[i]) ** 2).sum()) for i in range(10) if not clean[i]) / (10 - len(marked))
    penalty = sum(0.25 * log(0.25 / float(p[:, j].mean())) for j in range(4))
    more = (learner.projector, peer) if kind is UNICON else (peer,)
    terms = learner.co_step(own, *more, w, 5.0, trusted, rest)
    assert terms["labelled"].item() == pytest.approx(labelled, rel=1e-4)
    assert terms["unlabelled"].item() == pytest.approx(5 * unlabelled, rel=1e-4)
    assert terms["penalty"].item() == pytest.approx(0.7 * penalty, rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("kind", [DivideMix, UNICON])
def test_squared_error_is_a_mean_over_classes_and_rises(kind: type[Learner], world) -> None:  # type: ignore[no-untyped-def]
    learner = learner_of(kind, world, warm_up=1, ramp=4, unlabelled_weight=20.0)
    for number, expected in ((1, 5 / 4), (3, 15 / 4), (9, 5)):
        assert epoch_of(learner, number)[0].step.args[-1] == pytest.approx(expected)


def test_dividemix_learns_from_the_division_of_its_peer(world) -> None:  # type: ignore[no-untyped-def]
    n = len(world.truth)
    learner = learner_of(DivideMix, world, human_of(world, at0=1), warm_up=0)
    given = learner.target.argmax(1)
    tables = {}
    for name, network, bad in (("a", learner.network, range(0, 60)), ("b", learner.peer, range(60, 120))):
        p = torch.full((n, 4), 0.02)
        wrong = torch.zeros(n, dtype=torch.bool)
        wrong[list(bad)] = True
        p[torch.arange(n), torch.where(wrong, (given + 1) % 4, given)] = 0.94
        tables[id(network)] = (name, p, set(bad))
    passes = list(learner.passes(Epoch(3, 0.5, lambda network: tables[id(network)][1])))
    for one, peer in zip(passes, (learner.peer, learner.network), strict=True):
        bad = tables[id(peer)][2] - {0}
        trusted, rest = (set(group.tolist()) for group in one.groups)
        assert rest == bad | {0} and trusted == set(range(n)) - bad


def test_unicon_distance_in_bits_from_zero_to_one(world) -> None:  # type: ignore[no-untyped-def]
    learner = learner_of(UNICON, world, human_of(world, at1=3))
    p = torch.rand(len(world.truth), 4).softmax(1)
    d = learner.distance(p)
    for i in (0, 2, 3):
        y = one_hot(best(world, i, learner.labels))
        m = (y + p[i]) / 2
        expected = sum(0.5 * float(a[j]) * log2(float(a[j] / m[j])) for a in (y, p[i]) for j in range(4) if a[j] > 0)
        assert float(d[i]) == pytest.approx(expected, rel=1e-4)
    assert d[1] == 0
    assert learner.distance(F.one_hot(learner.given, 4).float()).abs().max() < 1e-6
    wrong = learner.distance(F.one_hot((learner.given + 1) % 4, 4).float())
    assert wrong[learner.labels < 0].min() > 1 - 1e-6


@pytest.mark.parametrize("hard", [False, True])
def test_unicon_takes_equally_many_of_each_class(hard: bool, world) -> None:  # type: ignore[no-untyped-def]
    learner, n = learner_of(UNICON, world), len(world.truth)
    d = 0.8 + 0.2 * torch.rand(n) if hard else torch.rand(n) ** 2
    d[learner.given == 2] *= 0.9  # nearer, and yet not more of them
    cut = float(d.mean())
    if hard:
        cut -= (cut - float(d.min())) / 5
    count = sum(float(x) < cut for x in d) // 4
    chosen = learner.select(d)
    for c in range(4):
        order = sorted((i for i in range(n) if learner.given[i] == c), key=lambda i: float(d[i]))
        assert set(order[:count]) == {i for i in order if chosen[i]}
    assert chosen.sum() == 4 * count > 0


def test_unicon_gives_all_of_a_class_that_is_small() -> None:
    classes = torch.tensor([0, 0, 0, 0, 1, -1])
    chosen = targets.smallest_per_class(torch.tensor([0.3, 0.1, 0.2, 0.4, 0.9, 0.0]), classes, torch.tensor([2, 2]))
    assert chosen.tolist() == [False, True, True, False, True, False]


def test_unicon_contrast_against_the_loop(world) -> None:  # type: ignore[no-untyped-def]
    learner = learner_of(UNICON, world, contrast_temperature=0.2)
    z = F.normalize(torch.randn(6, 5), dim=1)
    total = 0.0
    for i in range(6):
        own = exp(float(z[i] @ z[(i + 3) % 6]) / 0.2)
        total -= log(own / sum(exp(float(z[i] @ z[k]) / 0.2) for k in range(6) if k != i)) / 6
    assert float(learner.contrast(z)) == pytest.approx(total, rel=1e-5)


def test_promix_selection_against_the_loop(world) -> None:  # type: ignore[no-untyped-def]
    human = human_of(world, at0=1)
    learner, n = learner_of(ProMix, world, human, confidence=0.9), len(world.truth)
    p = (4 * torch.randn(n, 4)).softmax(1)
    agreed = torch.full((n,), -1)
    agreed[5], agreed[0] = (int(learner.given[5]) + 1) % 4, 2
    chosen = learner.select(p, 0.3, agreed)
    for c in range(4):
        own = [i for i in range(n) if best(world, i, human) == c]
        order = sorted(own, key=lambda i: -float(p[i, c]))
        kept = set(order[: ceil(0.3 * len(own) - 1e-6)]) | {i for i in own if p[i, c] > 0.9}
        for i in set(own) - {0, 5}:
            assert int(chosen[i]) == (c if i in kept else -1)
    assert chosen[5] == agreed[5] and chosen[0] == 1  # corrected; but never a person


def test_promix_share_rises_and_agreement_comes_late(world) -> None:  # type: ignore[no-untyped-def]
    learner = learner_of(ProMix, world, warm_up=0, share=0.2, final_share=0.6, ramp=0.4, late=0.7)
    n = len(world.truth)
    flat, sure = torch.full((n, 4), 0.25), F.one_hot((learner.given + 1) % 4, 4).float()
    sizes = torch.bincount(learner.given)
    for progress, rho in ((0.0, 0.2), (0.2, 0.4), (0.6, 0.6)):
        epoch_of(learner, 1, progress, flat)
        assert learner.figures["chosen_a"] == sum(ceil(rho * int(size) - 1e-6) for size in sizes)
    epoch_of(learner, 1, 0.69, sure)
    assert learner.figures["agreed"] == 0
    epoch_of(learner, 1, 0.7, sure)
    assert learner.figures["agreed"] == learner.figures["chosen_b"] == n


def test_promix_terms(world) -> None:  # type: ignore[no-untyped-def]
    learner = learner_of(
        ProMix, world, human_of(world, at6=2), mixup=0.0, debias=0.5, memory=0.9, unlabelled_weight=2.0
    )
    learner.side.mean.copy_(torch.tensor([0.1, 0.2, 0.3, 0.4]))
    learner.peer_side.mean.copy_(torch.tensor([0.7, 0.1, 0.1, 0.1]))
    nn.init.normal_(learner.side.head.weight)
    trusted, rest = batch_of(world, 0, 1, views=2), batch_of(world, 4, 6, views=2)
    chosen = torch.full((len(world.truth),), -1)
    chosen[0], chosen[1] = 2, 0
    own, other = (learner.network, learner.side), (learner.peer, learner.peer_side)
    guesses, means, margin = [], torch.zeros(4), 0.5 * learner.side.mean.log()
    for x in rest.views[0]:
        p = [(network(x[None])[0] - 0.5 * side.mean.log()).softmax(0).detach() for network, side in (own, other)]
        q = ((p[0] + p[1]) / 2) ** 2
        guesses.append(q / q.sum())
        means += softmax(learner.network, x) / 2
    guesses[1] = one_hot(2)
    expected_mean = 0.9 * learner.side.mean + 0.1 * means
    terms = learner.co_step(own, other, chosen, trusted, rest)
    torch.testing.assert_close(learner.side.mean, expected_mean)
    margin = 0.5 * expected_mean.log()
    pseudo = 0.0
    for q, x in zip(guesses, rest.views[1], strict=True):
        z = learner.side.head(learner.network.features(x[None]))[0] + margin
        pseudo -= (q * z.log_softmax(0)).sum().item()
    assert terms["pseudo"].item() == pytest.approx(2 * pseudo / 2, rel=1e-4)
    for name, view in (("mixup", 0), ("strong", 1)):
        expected = sum(
            -log(float(softmax(learner.network, x)[c])) for x, c in zip(trusted.views[view], (2, 0), strict=True)
        )
        assert terms[name].item() == pytest.approx(expected / 2, rel=1e-4)
    terms["pseudo"].backward()
    assert learner.network.head.weight.grad is None  # wrong pseudo-labels do not reach the head that makes them


@pytest.mark.parametrize("kind", [DivideMix, UNICON])
def test_the_papers_weight_goes_with_the_mean_over_classes(kind: type[Learner], make_world) -> None:  # type: ignore[no-untyped-def]
    found = []
    for weight in (1, 10):  # ten classes: ten times the mean is the sum
        torch.manual_seed(1)
        world = make_world(n=240, n_classes=10, annotators=1, accuracy=0.45)
        torch.manual_seed(0)
        default = 25.0 if kind is DivideMix else 30.0
        network = build("mlp", 10, world.features.shape[1])
        learner = kind(network, world.annotations, warm_up=12, unlabelled_weight=weight * default)
        settings = Settings(epochs=40, batch_size=64, lr=0.1, precision="float32", device="cpu", seed=1)
        list(train(learner, Features(world.features), settings))
        learner.eval()
        with torch.no_grad():
            p = sum(own(world.features).softmax(1) for own in learner.networks)
        found.append(float((p.argmax(1) == world.truth).float().mean()))
    assert found[0] > found[1] + 0.05
