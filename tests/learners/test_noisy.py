"""The noisy-label learners against loops written from their equations."""

from dataclasses import replace
from math import ceil, exp, floor, log

import pytest
import torch
from stepping import batch_of, best, epoch_of, human_of, indices, learner_of, one_hot, softmax
from torch.nn import functional as F

from zerolabel.blocks import mixup, targets
from zerolabel.data.views import Features
from zerolabel.errors import InputError
from zerolabel.learners import Learner
from zerolabel.learners.base import Epoch
from zerolabel.learners.coteaching import CoTeaching
from zerolabel.learners.cross_entropy import CrossEntropy
from zerolabel.learners.dividemix import DivideMix
from zerolabel.learners.elr import ELR
from zerolabel.learners.elr_plus import ELRPlus
from zerolabel.learners.gce import GCE
from zerolabel.learners.jocor import JoCoR
from zerolabel.learners.promix import ProMix
from zerolabel.learners.sce import SCE
from zerolabel.learners.truncated_gce import TruncatedGCE
from zerolabel.learners.unicon import UNICON
from zerolabel.networks import build
from zerolabel.training import train
from zerolabel.training.settings import Settings

ALL = (CoTeaching, DivideMix, ELR, ELRPlus, GCE, JoCoR, ProMix, SCE, TruncatedGCE, UNICON)


@pytest.mark.parametrize("kind", ALL)
def test_the_given_label_is_a_persons_else_the_best_score_else_none(kind: type[Learner], world) -> None:  # type: ignore[no-untyped-def]
    human = human_of(world, at2=3, at5=0)
    candidates = world.annotations.candidates.clone()
    candidates[7] = False
    annotations = world.annotations.with_candidates(candidates, "union").with_labels(human)
    learner = kind(build("mlp", 4, world.features.shape[1]), annotations)
    target = learner.target if hasattr(learner, "target") else targets.one_hot(learner.initial_labels, 4)
    for i in range(len(world.truth)):
        expected = torch.zeros(4) if i == 7 else one_hot(best(world, i, human))
        assert torch.equal(target[i], expected), i


# GCE, SCE, ELR ---------------------------------------------------------------------------------------------------


def test_gce_trusts_a_person_and_no_one_else(world) -> None:  # type: ignore[no-untyped-def]
    human = human_of(world, at1=3)
    learner, batch = learner_of(GCE, world, human, q=0.4), batch_of(world, 0, 1, 2)
    expected = 0.0
    for row, i in enumerate([0, 1, 2]):
        p = float(softmax(learner.network, batch.views[0][row])[best(world, i, human)])
        expected += (-log(p) if i == 1 else (1 - p**0.4) / 0.4) / 3
    assert sum(term.item() for term in learner.training_step(batch).values()) == pytest.approx(expected, rel=1e-5)


def test_truncation_leaves_out_what_the_network_does_not_believe(world) -> None:  # type: ignore[no-untyped-def]
    human = human_of(world, at0=1)
    learner = learner_of(TruncatedGCE, world, human, k=0.6, warm_up=4, interval=3)
    given, n = learner.initial_labels, len(world.truth)
    p = torch.full((n, 4), 0.05)
    sure = torch.arange(n) % 2 == 0
    p[torch.arange(n), torch.where(sure, given, (given + 1) % 4)] = 0.85
    p[given == 3] = torch.tensor([0.85, 0.05, 0.05, 0.05])  # no image of class 3 is believed
    p[0] = torch.tensor([0.85, 0.05, 0.05, 0.05])
    expected = [i for i in range(n) if i == 0 or given[i] == 3 or p[i, given[i]] > 0.6]
    everything = F.one_hot(given, 4).float()
    # before the first truncation, at it, not asked again yet, and asked again
    for number, said, kept in ((3, p, list(range(n))), (4, p, expected), (6, everything, expected)):
        assert indices(epoch_of(learner, number, p=said)[0].groups) == [list(range(n))]
        assert learner.kept.nonzero().squeeze(1).tolist() == kept
    epoch_of(learner, 7, p=everything)
    assert bool(learner.kept.all())


def test_sce_weighs_both_directions(world) -> None:  # type: ignore[no-untyped-def]
    human = human_of(world, at1=3)
    learner, batch = learner_of(SCE, world, human, alpha=0.3, beta=2.0, least=1e-3), batch_of(world, 0, 1, 2)
    expected = 0.0
    for row, i in enumerate([0, 1, 2]):
        p, y = softmax(learner.network, batch.views[0][row]), best(world, i, human)
        reverse = -sum(float(p[j]) * log(1 if j == y else 1e-3) for j in range(4))
        expected += (-log(float(p[y])) if i == 1 else -0.3 * log(float(p[y])) + 2 * reverse) / 3
    assert sum(term.item() for term in learner.training_step(batch).values()) == pytest.approx(expected, rel=1e-5)


def test_elr_moves_its_running_predictions_first_and_never_a_persons(world) -> None:  # type: ignore[no-untyped-def]
    human = human_of(world, at1=3)
    learner = learner_of(ELR, world, human, memory=0.7, weight=3.0)
    running = {i: one_hot(3) if i == 1 else torch.zeros(4) for i in range(4)}
    for index in ((0, 1, 2), (2, 1, 3)):  # the second visit to image 2 remembers the first
        batch = batch_of(world, *index)
        supervised, early = 0.0, 0.0
        for row, i in enumerate(index):
            p = softmax(learner.network, batch.views[0][row])
            q = p.clamp(1e-4, 1 - 1e-4)
            if i != 1:
                running[i] = 0.7 * running[i] + 0.3 * q / q.sum()
            supervised -= log(float(p[best(world, i, human)])) / 3
            early += 3 * log(1 - float((running[i] * q).sum())) / 3
        terms = learner.training_step(batch)
        assert terms["supervised"].item() == pytest.approx(supervised, rel=1e-4)
        assert terms["early"].item() == pytest.approx(early, rel=1e-4)
    for i, row in running.items():
        torch.testing.assert_close(learner.running[i], row)
    assert not learner.running[5:].any()


def test_elr_plus_takes_its_targets_from_the_copy_of_the_other_network(world) -> None:  # type: ignore[no-untyped-def]
    options = {"mixup": 0.0, "ema_momentum": 0.9, "ema_ramp_steps": 0, "memory": 0.6, "weight": 2.0}
    learner = learner_of(ELRPlus, world, human_of(world, at1=3), **options)
    first = epoch_of(learner, 0)
    for copy, network in ((learner.copy, learner.network), (learner.peer_copy, learner.peer)):
        for a, b in zip(copy.copy.parameters(), network.parameters(), strict=True):
            assert torch.equal(a, b) and not a.requires_grad
    with torch.no_grad():
        learner.network.head.weight.add_(1.0)
        learner.peer.head.weight.sub_(1.0)
    before = learner.copy.copy.head.weight.clone()
    batch = batch_of(world, 0, 1)
    other = softmax(learner.peer_copy.copy, batch.views[0][0])
    terms = first[0].step(batch)
    assert torch.equal(learner.copy.copy.head.weight, before)  # nothing was learned in this pass yet
    torch.testing.assert_close(learner.running[0, 0], 0.4 * other)
    torch.testing.assert_close(learner.running[0, 1], one_hot(3))
    assert not learner.running[1, 0].any() and torch.equal(learner.running[1, 1], one_hot(3))
    p = [softmax(learner.network, x).clamp(1e-4, 1 - 1e-4) for x in batch.views[0]]
    expected = 2 * sum(log(max(1 - float((learner.running[0, i] * p[i]).sum()), 1e-4)) for i in (0, 1)) / 2
    assert terms["early"].item() == pytest.approx(expected, rel=1e-4)


def test_elr_plus_copies_follow_every_step(world) -> None:  # type: ignore[no-untyped-def]
    learner = learner_of(ELRPlus, world, ema_momentum=0.9, ema_ramp_steps=0)
    passes = iter(learner.passes(Epoch(0, 0.0, lambda _: torch.zeros(0, 4))))
    one, before = next(passes), learner.copy.copy.head.weight.clone()
    for progress, kept in ((0.0, 1.0), (0.5, 0.9)):
        one.step(replace(batch_of(world, 0, 1), progress=progress))
        moved = kept * before + (1 - kept) * learner.network.head.weight
        torch.testing.assert_close(learner.copy.copy.head.weight, moved)
        with torch.no_grad():
            learner.network.head.weight.add_(1.0)
    before = learner.copy.copy.head.weight.clone()
    next(passes)  # the pass has ended: the copy takes in its last step
    torch.testing.assert_close(learner.copy.copy.head.weight, 0.9 * before + 0.1 * learner.network.head.weight)


def test_elr_plus_mixes_images_labels_and_running_predictions(world, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    for weigh in (False, True):
        learner = learner_of(ELRPlus, world, memory=0.6, weight=2.0, weigh_labels=weigh)
        monkeypatch.setattr(mixup, "draw", lambda *_: mixup.Mix(0.7, torch.tensor([2, 0, 1])))
        first, batch = epoch_of(learner, 0)[0], batch_of(world, 0, 1, 2)
        (x,) = batch.views
        t = [0.4 * softmax(learner.peer_copy.copy, row) for row in x]
        supervised = early = 0.0
        for i, j in enumerate((2, 0, 1)):
            p = softmax(learner.network, 0.7 * x[i] + 0.3 * x[j])
            mixed = 0.7 * t[i] + 0.3 * t[j]
            y = 0.7 * one_hot(best(world, i, learner.labels)) + 0.3 * one_hot(best(world, j, learner.labels))
            if weigh:
                y = y * mixed / float((y * mixed).sum())
            supervised -= float((y * p.log()).sum()) / 3
            early += 2 * log(1 - float((mixed * p.clamp(1e-4, 1 - 1e-4)).sum())) / 3
        terms = first.step(batch)
        assert terms["supervised"].item() == pytest.approx(supervised, rel=1e-4)
        assert terms["early"].item() == pytest.approx(early, rel=1e-4)


def test_elr_plus_weighs_labels_of_a_hundred_classes_alone(make_annotations) -> None:  # type: ignore[no-untyped-def]
    for n_classes, expected in ((99, False), (100, True), (101, False)):
        learner = ELRPlus(build("mlp", n_classes, 6), make_annotations(torch.zeros(2, 1, dtype=torch.long), n_classes))
        assert learner.weigh_labels is expected


@pytest.mark.parametrize(("ramp", "progress", "expected"), [(0.0, 0.0, 1), (0.5, 0.25, exp(-1.25)), (0.5, 0.8, 1)])
def test_elr_plus_ramp(ramp: float, progress: float, expected: float, world) -> None:  # type: ignore[no-untyped-def]
    assert learner_of(ELRPlus, world, ramp_share=ramp).rise(progress) == pytest.approx(expected)


# Co-teaching and JoCoR -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [1.0, 0.6, 0.34, 0.0])
def test_coteaching_exchanges_the_images_of_small_loss(share: float, world) -> None:  # type: ignore[no-untyped-def]
    human = human_of(world, at3=(int(world.truth[3]) + 1) % 4)
    learner, batch = learner_of(CoTeaching, world, human), batch_of(world, *range(8))
    loss = {}
    for name, network in zip("ab", learner.networks, strict=True):
        loss[name] = [-log(float(softmax(network, x)[best(world, i, human)])) for i, x in enumerate(batch.views[0])]
    others = [i for i in range(8) if i != 3]
    picked = {}
    for name in "ab":
        order = sorted(others, key=lambda i: loss[name][i])
        picked[name] = [*order[: max(floor(share * 7), ceil(share))], 3]
    terms = learner.training_step(share, batch)
    for own, peer in ("ab", "ba"):
        expected = sum(loss[own][i] for i in picked[peer]) / len(picked[peer])
        assert terms[f"supervised_{own}"].item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("share", [1.0, 0.6, 0.34, 0.0])
@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_jocor_learns_from_the_images_of_small_joint_loss(weight: float, share: float, world) -> None:  # type: ignore[no-untyped-def]
    human = human_of(world, at3=(int(world.truth[3]) + 1) % 4)
    learner, batch = learner_of(JoCoR, world, human, agreement_weight=weight), batch_of(world, *range(8))
    supervised, agreement = [], []
    for i, x in enumerate(batch.views[0]):
        a, b = (softmax(network, x).double() for network in learner.networks)
        supervised.append(-(1 - weight) * sum(log(float(p[best(world, i, human)])) for p in (a, b)))
        agreement.append(
            weight * sum(float(p[c]) * log(float(p[c] / q[c])) for p, q in ((a, b), (b, a)) for c in range(4))
        )
    others = sorted((i for i in range(8) if i != 3), key=lambda i: supervised[i] + agreement[i])
    kept = [*others[: max(floor(share * 7), ceil(share))], 3]
    terms = learner.training_step(share, batch)
    assert terms["supervised"].item() == pytest.approx(sum(supervised[i] for i in kept) / len(kept), rel=1e-4)
    assert terms["agreement"].item() == pytest.approx(sum(agreement[i] for i in kept) / len(kept), rel=1e-4, abs=1e-6)


def test_jocor_pulls_its_networks_together(world) -> None:  # type: ignore[no-untyped-def]
    learner, batch = learner_of(JoCoR, world, agreement_weight=1.0), batch_of(world, *range(30))
    optimizer = torch.optim.SGD(learner.parameters(), lr=0.1)
    before = learner.training_step(1.0, batch)["agreement"].item()
    for _ in range(30):
        optimizer.zero_grad()
        learner.training_step(1.0, batch)["agreement"].backward()
        optimizer.step()
    assert learner.training_step(1.0, batch)["agreement"].item() < before / 2


@pytest.mark.parametrize("kind", [CoTeaching, JoCoR])
def test_less_and_less_is_kept(kind: type[Learner], world, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr("zerolabel.annotations.noise.label_noise", lambda annotations: 0.3)
    learner = learner_of(kind, world, ramp=5)
    for number in range(8):
        epoch_of(learner, number)
        assert learner.figures["kept"] == pytest.approx(1 - 0.3 * min(number / 5, 1))
    assert learner_of(kind, world, noise_rate=0.1).noise_rate == 0.1
    with pytest.raises(InputError, match="noise_rate"):
        learner_of(kind, world, noise_rate=1.0)


# Known orderings -------------------------------------------------------------------------------------------------


def accuracy_at_high_noise(kind: type[Learner], make_world, **options: object) -> float:  # type: ignore[no-untyped-def]
    """Of the trained network on images of whose labels more than half are wrong."""
    torch.manual_seed(1)
    world = make_world(n=240, annotators=1, accuracy=0.45)
    assert world.annotator_accuracy < 0.5
    torch.manual_seed(0)
    learner = kind(build("mlp", 4, world.features.shape[1]), world.annotations, **options)
    settings = Settings(epochs=40, batch_size=64, lr=0.1, precision="float32", device="cpu", seed=1)
    list(train(learner, Features(world.features), settings))
    learner.eval()
    with torch.no_grad():
        p = sum(network(world.features).softmax(1) for network in learner.networks)
    return float((p.argmax(1) == world.truth).float().mean())


@pytest.fixture(scope="module")
def plain() -> dict[str, float]:
    return {}


@pytest.mark.parametrize(
    ("kind", "options", "margin"),
    [
        (GCE, {}, 0.05),
        (TruncatedGCE, {"warm_up": 10, "interval": 5}, 0.1),
        (SCE, {}, 0.0),
        (ELR, {}, 0.1),
        (ELRPlus, {"ema_momentum": 0.97, "ema_ramp_steps": 0}, 0.05),
        (CoTeaching, {"noise_rate": 0.5}, 0.03),
        (JoCoR, {"noise_rate": 0.5}, 0.05),
        (DivideMix, {"warm_up": 12}, 0.1),
        (UNICON, {"warm_up": 12}, 0.1),
        (ProMix, {"warm_up": 12}, 0.05),
    ],
)
def test_above_cross_entropy_where_most_labels_are_wrong(  # type: ignore[no-untyped-def]
    kind: type[Learner], options: dict[str, object], margin: float, make_world, plain: dict[str, float]
) -> None:
    if not plain:
        plain["accuracy"] = accuracy_at_high_noise(CrossEntropy, make_world)
    assert accuracy_at_high_noise(kind, make_world, **options) > plain["accuracy"] + margin
