"""PiCO, PiCO+, IRNet and ALIM against loops written from their equations."""

import pytest
import torch
from torch import Tensor

from zerolabel.annotations import Annotations
from zerolabel.learners import ALIM, IRNet, Learner, PiCO, PiCOPlus
from zerolabel.learners.base import Batch, Epoch
from zerolabel.networks import build

SMALL = {"queue": 12, "embedding": 8}


def learner_of(kind: type[Learner], annotations: Annotations, **options: object) -> Learner:
    torch.manual_seed(3)
    learner = kind(build("mlp", len(annotations.classes), 12), annotations, **(SMALL | options))
    with torch.no_grad():  # heads start near zero: make the predictions differ
        learner.network.head.weight.mul_(20)
    learner.prototypes.vectors.copy_(torch.nn.functional.normalize(torch.randn(4, 8), dim=1))
    return learner.train()


def batch_of(world, *index: int, views: int = 2) -> Batch:  # type: ignore[no-untyped-def]
    rows = torch.tensor(index)
    x = world.features[rows]
    return Batch(rows, tuple(x + 0.1 * torch.randn_like(x) for _ in range(views)))


def embedded(learner: Learner, x: Tensor) -> Tensor:
    with torch.no_grad():
        return learner.contrast.embed(learner.network.features(x))


def step_of(learner: Learner, number: int, epochs: int = 10):  # type: ignore[no-untyped-def]
    (one,) = learner.passes(Epoch(number, number / epochs, lambda _: learner.scores))
    return one.step


def test_pico_step_against_the_loop(world) -> None:  # type: ignore[no-untyped-def]
    learner, batch = learner_of(PiCO, world.annotations), batch_of(world, 0, 5, 7, 9)
    before, vectors = learner.confidence.clone(), learner.prototypes.vectors.clone()
    z = embedded(learner, batch.views[0])
    logits = learner.network(batch.views[0]).detach()
    step = step_of(learner, 5)
    learner.contrast.start(learner.network)
    keys = learner.contrast.momentum(batch.views[1])
    terms = step(batch)
    phi, loss, pseudo = 0.95 + 0.5 * (0.8 - 0.95), 0.0, []
    for row, i in enumerate(batch.index.tolist()):
        inside = [j for j in range(4) if learner.candidates[i, j]]
        best = max(inside, key=lambda j: float(z[row] @ vectors[j]))
        expected = phi * before[i] + (1 - phi) * torch.eye(4)[best]
        torch.testing.assert_close(learner.confidence[i], expected)
        loss -= float((expected * logits[row].log_softmax(0)).sum()) / 4
        pseudo.append(max(inside, key=lambda j: float(logits[row, j])))
    assert terms["weighted"].item() == pytest.approx(loss, rel=1e-4)
    entries, contrast = torch.cat([z, keys]), 0.0
    for i in range(4):
        s = (z[i] @ entries.T / 0.07).tolist()
        bottom = torch.tensor([s[k] for k in range(8) if k != i]).logsumexp(0).item()
        chosen = [k for k in range(8) if k != i and pseudo[k % 4] == pseudo[i]]
        contrast -= sum(s[k] - bottom for k in chosen) / len(chosen) / 4
    assert terms["contrast"].item() == pytest.approx(0.5 * contrast, rel=1e-3)
    assert learner.contrast.queue.labels[:4].tolist() == pseudo


def test_pico_knows_no_labels_before_its_prototypes(world) -> None:  # type: ignore[no-untyped-def]
    learner = learner_of(PiCO, world.annotations, delay=3)
    before = learner.confidence.clone()
    step_of(learner, 2)(batch_of(world, 0, 1))
    assert torch.equal(learner.confidence, before)
    step_of(learner, 3)(batch_of(world, 0, 1))
    assert not torch.equal(learner.confidence, before) or bool((before[:2].amax(1) == 1).all())


def test_own_key_and_same_label_against_loops(world) -> None:  # type: ignore[no-untyped-def]
    contrast = learner_of(PiCO, world.annotations, queue=4).contrast
    contrast.queue.push(torch.randn(2, 8), torch.tensor([1, 0]), torch.tensor([True, True]))
    positive, ignored = contrast.same_label(torch.tensor([1, 2, 1]))
    others = [1, 2, 1, 1, 2, 1, 1, 0, -1, -1]
    for i, label in enumerate((1, 2, 1)):
        for j, other in enumerate(others):
            assert bool(positive[i, j]) == (other == label and i != j)
            assert bool(ignored[i, j]) == (i == j or other < 0)
    positive, ignored = contrast.own_key(3)
    assert positive.nonzero().tolist() == [[0, 3], [1, 4], [2, 5]]
    for i in range(3):
        assert (~ignored[i]).nonzero().squeeze(1).tolist() == [i + 3, 6, 7]


@pytest.mark.parametrize("target", ["scale", "onehot"])
def test_alim_target_and_mu_against_the_loop(world, target: str) -> None:  # type: ignore[no-untyped-def]
    human = torch.full((len(world.truth),), -1)
    human[2] = 3
    learner = learner_of(ALIM, world.annotations.with_labels(human), target=target, noise_rate=0.3, warm_up=2)
    learner.margin.copy_(torch.rand(len(learner.margin)) * 2)
    rows = [i for i in range(len(human)) if human[i] < 0]
    ordered = sorted(float(learner.margin[i]) for i in rows)
    place = 0.3 * (len(ordered) - 1)
    low = int(place)
    mu = ordered[low] + (place - low) * (ordered[low + 1] - ordered[low])
    batch, before, vectors = batch_of(world, 0, 1, 2, 3), learner.confidence.clone(), learner.prototypes.vectors.clone()
    r = (embedded(learner, batch.views[0]) @ vectors.T).softmax(1)
    step_of(learner, 4)(batch)
    assert learner.figures["mu"] == pytest.approx(mu, rel=1e-5) and mu < 1
    phi = 0.95 + 0.4 * (0.8 - 0.95)
    for row, i in enumerate(batch.index.tolist()):
        inside = learner.candidates[i].tolist()
        own = 0.0 if human[i] >= 0 else mu
        t = torch.tensor([float(r[row, j]) * (1 if inside[j] else own) for j in range(4)])
        t = t / t.sum() if target == "scale" else torch.eye(4)[int(t.argmax())]
        torch.testing.assert_close(learner.confidence[i], phi * before[i] + (1 - phi) * t, rtol=1e-4, atol=1e-6)
    assert learner.confidence[2].tolist() == [0, 0, 0, 1]


def test_alim_keeps_to_the_sets_in_warm_up_and_without_noise(world) -> None:  # type: ignore[no-untyped-def]
    for options, number in (({"warm_up": 9, "noise_rate": 0.9}, 4), ({"warm_up": 1, "noise_rate": 0.0}, 4)):
        learner = learner_of(ALIM, world.annotations, target="onehot", **options)
        learner.margin.copy_(torch.rand(len(learner.margin)))
        learner.margin[0] = 0.0  # the least: quantile 0
        step_of(learner, number)(batch_of(world, *range(16)))
        assert learner.figures["mu"] == 0
        assert not bool((learner.confidence[:16] * ~learner.candidates[:16]).any())


def test_pico_plus_trusts_the_closest_of_each_class_and_people(world) -> None:  # type: ignore[no-untyped-def]
    human = torch.full((len(world.truth),), -1)
    human[0] = 1
    learner = learner_of(PiCOPlus, world.annotations.with_labels(human), noise_rate=0.25)
    n = len(human)
    learner.pseudo.copy_(torch.arange(n) % 4)
    learner.closeness.copy_(torch.rand(n))
    learner.closeness[0] = -1
    chosen = learner.select()
    for c in range(4):
        members = [i for i in range(n) if i % 4 == c]
        best = sorted(members, key=lambda i: -float(learner.closeness[i]))[: -(-3 * len(members) // 4)]
        assert {i for i in members if chosen[i]} == set(best) | ({0} if c == 0 else set())


def test_pico_plus_positives_against_the_loop(world) -> None:  # type: ignore[no-untyped-def]
    learner = learner_of(PiCOPlus, world.annotations, neighbours=2, queue=3)
    learner.contrast.queue.push(torch.randn(2, 8), torch.tensor([1, 1]), torch.tensor([True, False]))
    cosine = torch.rand(3, 9)
    pseudo, trusted = torch.tensor([1, 1, 0]), torch.tensor([True, False, True])
    positive, _ = learner.positives(pseudo, trusted, cosine)
    assert positive[0].nonzero().squeeze(1).tolist() == [3, 6]  # own key; the reliable entry of the queue
    near = sorted((j for j in range(8) if j != 1), key=lambda j: -float(cosine[1, j]))[:2]
    assert set(positive[1].nonzero().squeeze(1).tolist()) == {*near, 4}
    assert positive[2].nonzero().squeeze(1).tolist() == [5]


@pytest.mark.parametrize("replace", [False, True])
def test_irnet_corrects_what_all_views_agree_on(world, replace: bool) -> None:  # type: ignore[no-untyped-def]
    human = torch.full((len(world.truth),), -1)
    human[3] = 0
    learner = learner_of(IRNet, world.annotations.with_labels(human), replace=replace)
    learner.candidates[:5] = torch.tensor([True, True, False, False])
    learner.candidates[3] = torch.tensor([True, False, False, False])
    learner.candidates[4] = True
    r = torch.tensor([0.2, 0.1, 0.4, 0.3]).repeat(3, 5, 1)
    r[1, 1] = torch.tensor([0.2, 0.1, 0.3, 0.4])  # another class in one view
    r[2, 2] = torch.tensor([0.395, 0.1, 0.4, 0.1])  # hardly better in one view
    learner.correct(torch.arange(5), r)
    assert learner.candidates[0].tolist() == [True, not replace, True, False]
    for i in (1, 2):
        assert learner.candidates[i].tolist() == [True, True, False, False]
    assert learner.candidates[3].tolist() == [True, False, False, False] and bool(learner.candidates[4].all())
