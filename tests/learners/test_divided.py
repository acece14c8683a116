"""Noisy-label learners that divide the images, against loops written from their equations."""

from copy import deepcopy
from dataclasses import replace
from math import exp, log

import pytest
import torch
from stepping import batch_of, best, epoch_of, human_of, learner_of, one_hot, softmax
from torch import nn
from torch.nn import functional as F

from zerolabel.blocks import mixup, targets
from zerolabel.data.views import Features
from zerolabel.learners import Learner
from zerolabel.learners.base import Batch, Epoch
from zerolabel.learners.dividemix import DivideMix
from zerolabel.learners.unicon import UNICON
from zerolabel.networks import Network, NetworkSpec, build
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
    labeled = sum(-float((target[i] * p[i].log()).sum()) for i in marked) / len(marked)
    unlabeled = sum(float(((p[i] - target[i]) ** 2).sum()) for i in range(10) if not clean[i]) / (10 - len(marked))
    penalty = sum(0.25 * log(0.25 / float(p[:, j].mean())) for j in range(4))
    more = (learner.projector, peer) if kind is UNICON else (peer,)
    terms = learner.co_step(own, *more, w, 5.0, trusted, rest)
    assert terms["labeled"].item() == pytest.approx(labeled, rel=1e-4)
    assert terms["unlabeled"].item() == pytest.approx(5 * unlabeled, rel=1e-4)
    assert terms["penalty"].item() == pytest.approx(0.7 * penalty, rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("kind", [DivideMix, UNICON])
def test_a_step_with_batch_norm_and_mixup(kind: type[Learner], world, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    options = {"embedding": 5} if kind is UNICON else {}
    learner = kind(batch_norm_network(12, 4), world.annotations, **options).train()
    own, peer, w = learner.network, learner.peer, torch.rand(len(world.truth))
    views = len(learner.views)
    trusted, rest = batch_of(world, 0, 1, 2, 5, views=views), batch_of(world, 4, 6, 7, views=views)
    rest = Batch(rest.index, tuple(2 + 3 * view for view in rest.views))  # another contrast than the trusted
    mix = mixup.Mix(0.7, torch.randperm(14))
    monkeypatch.setattr(mixup, "draw", lambda *_: mix)
    copy, other = deepcopy(own).train(), deepcopy(peer).eval()
    with torch.no_grad():
        u = [network(view).softmax(1) for network in (copy, other) for view in rest.views[:2]]
        x = [copy(view).softmax(1) for view in trusted.views[:2]]
        given = torch.stack([one_hot(best(world, i, learner.labels)) for i in trusted.index.tolist()])
        trust = w[trusted.index, None]
        target = torch.cat([trust * given + (1 - trust) * (x[0] + x[1]) / 2, sum(u) / 4]) ** 2
        target = (target / target.sum(1, keepdim=True)).repeat(2, 1)
        if kind is UNICON:
            for view in rest.views[2:]:
                copy.features(view)
        images = torch.cat([torch.cat([trusted.views[k], rest.views[k]]) for k in (-2, -1)])
        p = copy(0.7 * images + 0.3 * images[mix.order]).softmax(1)
        target = 0.7 * target + 0.3 * target[mix.order]
    clean = torch.tensor(([True] * 4 + [False] * 3) * 2)
    more = (learner.projector, peer) if kind is UNICON else (peer,)
    terms = learner.co_step(own, *more, w, 5.0, trusted, rest)
    labeled = -sum(float((target[i] * p[i].log()).sum()) for i in range(14) if clean[i]) / 8
    unlabeled = sum(float(((target[i] - p[i]) ** 2).sum()) for i in range(14) if not clean[i]) / 6
    assert terms["labeled"].item() == pytest.approx(labeled, rel=1e-4)
    assert terms["unlabeled"].item() == pytest.approx(5 * unlabeled, rel=1e-4)
    for mine, expected in zip(own.buffers(), copy.buffers(), strict=True):
        torch.testing.assert_close(mine, expected)  # as many passes, in the same order


def batch_norm_network(size: int, n_classes: int) -> Network:
    backbone = nn.Sequential(nn.Linear(size, 16), nn.BatchNorm1d(16), nn.ReLU())
    network = Network(backbone, 16, NetworkSpec("linear", n_classes, size), pretrained=True)
    nn.init.normal_(network.head.weight)
    return network


@pytest.mark.parametrize("kind", [DivideMix, UNICON])
def test_squared_error_is_a_mean_over_classes_and_rises(kind: type[Learner], world) -> None:  # type: ignore[no-untyped-def]
    learner = learner_of(kind, world, warm_up=1, ramp=4, unlabeled_weight=20.0)
    views = len(learner.views)
    parts = [batch_of(world, 0, 1, views=views), batch_of(world, 2, 3, views=views)]

    def term(number: int, progress: float) -> float:
        torch.manual_seed(0)
        return (
            epoch_of(learner, number)[0].step(*(replace(one, progress=progress) for one in parts))["unlabeled"].item()
        )

    for number, progress, expected in ((1, 0.0, 0.0), (1, 0.5, 2.5), (3, 0.0, 10.0), (4, 0.9, 19.5), (5, 0.0, 20.0)):
        assert term(number, progress) / term(9, 0.5) * 20 == pytest.approx(expected)
    assert epoch_of(learner, 9)[0].step.args[-1] == 5.0


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


def test_unicon_distance_in_nats_from_zero_to_log_two(world) -> None:  # type: ignore[no-untyped-def]
    learner = learner_of(UNICON, world, human_of(world, at1=3))
    p = torch.rand(len(world.truth), 4).softmax(1)
    d = learner.distance(p)
    for i in (0, 2, 3):
        y = one_hot(best(world, i, learner.labels))
        m = (y + p[i]) / 2
        expected = sum(0.5 * float(a[j]) * log(float(a[j] / m[j])) for a in (y, p[i]) for j in range(4) if a[j] > 0)
        assert float(d[i]) == pytest.approx(expected, rel=1e-4)
    assert d[1] == 0
    assert learner.distance(F.one_hot(learner.initial_labels, 4).float()).abs().max() < 1e-6
    wrong = learner.distance(F.one_hot((learner.initial_labels + 1) % 4, 4).float())
    assert wrong[learner.labels < 0].min() == pytest.approx(log(2))


def test_unicon_distance_and_weight_by_hand(make_annotations) -> None:  # type: ignore[no-untyped-def]
    learner = UNICON(build("mlp", 2, 6), make_annotations(torch.zeros(3, 1, dtype=torch.long), 2))
    d = learner.distance(torch.tensor([[0.9, 0.1], [0.4, 0.6], [0.02, 0.98]]))
    torch.testing.assert_close(d, torch.tensor([0.035974, 0.274358, 0.643928]), atol=1e-5, rtol=0)
    weight = learner.trust(torch.tensor([0.0, 0.30, 0.4999, 0.5, 0.643928, log(2)]))
    torch.testing.assert_close(weight, torch.tensor([1, 1, 1, 0.5, 0.356072, 0.306853]), atol=1e-5, rtol=0)


def test_unicon_selects_anew_for_the_second_network(world) -> None:  # type: ignore[no-untyped-def]
    learner = learner_of(UNICON, world, warm_up=0)
    right, tables = F.one_hot(learner.initial_labels, 4).float(), {}
    for network in learner.networks:
        tables[id(network)] = (3 * torch.randn(len(right), 4)).softmax(1)
    passes = iter(learner.passes(Epoch(0, 0.5, lambda network: tables[id(network)])))
    first = next(passes)
    tables[id(learner.network)] = right  # what its pass has taught it
    second = next(passes)
    for one, p in ((first, None), (second, right)):
        own = one.groups[0].tolist()
        assert own and (p is None or own != first.groups[0].tolist())
    d = learner.distance((right + tables[id(learner.peer)]) / 2)
    assert second.groups[0].tolist() == learner.select(d).nonzero().squeeze(1).tolist()


@pytest.mark.parametrize("hard", [False, True])
def test_unicon_takes_equally_many_of_each_class(hard: bool, world) -> None:  # type: ignore[no-untyped-def]
    learner, n = learner_of(UNICON, world), len(world.truth)
    learner.cutoff = 0.5  # the code's 0.7 lies above every divergence
    d = 0.5 + 0.19 * torch.rand(n) if hard else 0.6 * torch.rand(n) ** 2
    d[learner.initial_labels == 2] *= 0.9  # nearer, and yet not more of them
    cut = float(d.mean())
    if hard:
        cut -= (cut - float(d.min())) / 5
    count = sum(float(x) < cut for x in d) // 4
    chosen = learner.select(d)
    for c in range(4):
        order = sorted((i for i in range(n) if learner.initial_labels[i] == c), key=lambda i: float(d[i]))
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


def test_the_papers_weight_goes_with_the_mean_over_classes(make_world) -> None:  # type: ignore[no-untyped-def]
    found = []
    for weight in (1, 10):  # ten classes: ten times the mean is the sum
        torch.manual_seed(1)
        world = make_world(n=240, n_classes=10, annotators=1, accuracy=0.45)
        torch.manual_seed(0)
        network = build("mlp", 10, world.features.shape[1])
        learner = DivideMix(network, world.annotations, warm_up=12, unlabeled_weight=weight * 25.0)
        settings = Settings(epochs=40, batch_size=64, lr=0.1, precision="float32", device="cpu", seed=1)
        list(train(learner, Features(world.features), settings))
        learner.eval()
        with torch.no_grad():
            p = sum(own(world.features).softmax(1) for own in learner.networks)
        found.append(float((p.argmax(1) == world.truth).float().mean()))
    assert found[0] > found[1] + 0.05
