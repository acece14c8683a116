"""ProMix against small cases by hand and loops written from its equations; a batch-norm network in the step."""

from copy import deepcopy
from math import ceil

import pytest
import torch
from stepping import batch_of, best, epoch_of, human_of, learner_of, one_hot
from torch import Tensor, nn
from torch.nn import functional as F

from zerolabel.blocks import mixup
from zerolabel.learners.promix import ProMix
from zerolabel.networks import Network, NetworkSpec, build


def promix_of(votes: Tensor, n_classes: int, make_annotations, **options: float) -> ProMix:  # type: ignore[no-untyped-def]
    return ProMix(build("mlp", n_classes, 6), make_annotations(votes[:, None], n_classes), **options)


def test_quota_is_the_same_for_every_class(make_annotations) -> None:  # type: ignore[no-untyped-def]
    votes = torch.tensor([0] * 40 + [1] * 12 + [2] * 8)
    learner = promix_of(votes, 3, make_annotations)
    chosen = learner.select(torch.rand(60, 3).softmax(1), 0.5, learner.labels)
    assert [int((chosen == c).sum()) for c in range(3)] == [10, 10, 8]
    assert torch.equal(chosen[chosen >= 0], votes[chosen >= 0])
    assert (learner.select(torch.rand(60, 3).softmax(1), 0.0, learner.labels) >= 0).sum() == 3  # one of each at least


def test_selection_against_the_loop(world) -> None:  # type: ignore[no-untyped-def]
    human = human_of(world, at0=1)
    learner, n = learner_of(ProMix, world, human), len(world.truth)
    p = (4 * torch.randn(n, 4)).softmax(1)
    chosen = learner.select(p, 0.3, learner.labels)
    for c in range(4):
        own = [i for i in range(n) if best(world, i, human) == c]
        kept = set(sorted(own, key=lambda i: -float(p[i, c]))[: ceil(0.3 * n / 4)])
        for i in set(own) - {0}:
            assert int(chosen[i]) == (c if i in kept else -1)
    assert chosen[0] == 1  # a person's label is always reliable


def test_ramps_by_hand(make_annotations) -> None:  # type: ignore[no-untyped-def]
    learner = promix_of(torch.arange(8) % 4, 4, make_annotations)
    for epoch, expected in (
        (0, (0.2, 0.0, 0.0)),
        (25, (0.4, 0.5, 0.025)),
        (50, (0.6, 1.0, 0.05)),
        (75, (0.6, 1.0, 0.075)),
        (100, (0.6, 1.0, 0.0)),
    ):
        assert learner.ramps(epoch / 600) == pytest.approx(expected)
    n = len(learner.labels)
    for epoch, late in ((350, False), (351, True)):  # the last 250 of 600 epochs
        (one,) = epoch_of(learner, epoch, epoch / 600, torch.rand(n, 4).softmax(1))
        assert one.step.args[-1] is late and one.groups == ()


def test_agreement_fills_at_most_nine_tenths_of_a_batch(make_annotations) -> None:  # type: ignore[no-untyped-def]
    learner = promix_of(torch.zeros(10, dtype=torch.long), 2, make_annotations, confidence=0.9)
    sure = torch.tensor([0.91, 0.99, 0.92, 0.98, 0.93, 0.97, 0.94, 0.96, 0.95, 0.5])
    p = torch.stack([1 - sure, sure], 1)
    reliable = torch.zeros(10, dtype=torch.bool)
    reliable[:6] = True
    assert learner.agreed(p, p, reliable).nonzero().squeeze(1).tolist() == [6, 7, 8]  # 9 of 10 are reliable then
    reliable[6] = True
    assert learner.agreed(p, p, reliable).nonzero().squeeze(1).tolist() == [7, 8]
    reliable[7] = True
    assert learner.agreed(p, p, reliable).nonzero().squeeze(1).tolist() == [8]
    assert learner.agreed(p, p, reliable | (torch.arange(10) == 8)).sum() == 0
    assert learner.agreed(p, 1 - p, reliable).sum() == 0  # another class


def batch_norm_learner(world, human: Tensor, **options: float) -> ProMix:  # type: ignore[no-untyped-def]
    backbone = nn.Sequential(nn.Linear(12, 16), nn.BatchNorm1d(16), nn.ReLU())
    network = Network(backbone, 16, NetworkSpec("linear", 4, 12), pretrained=True)
    learner = ProMix(network, world.annotations.with_labels(human), **options).train()
    for number, (own, side) in enumerate(((learner.network, learner.side), (learner.peer, learner.peer_side))):
        nn.init.normal_(own.head.weight), nn.init.normal_(side.head.weight)
        side.mean.copy_(torch.tensor([0.1, 0.2, 0.3, 0.4]).roll(number))
        side.reliable_mean.copy_(torch.tensor([0.4, 0.1, 0.3, 0.2]).roll(number))
    return learner


def test_a_step_with_batch_norm_mixup_and_fmix(world, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    human = human_of(world, at6=2)
    learner = batch_norm_learner(world, human, debias=0.5, memory=0.9, confidence=1.0, temperature=0.25)
    batch = batch_of(world, 0, 1, 4, 5, 6, 7, views=2)
    chosen = torch.zeros(2, len(human), dtype=torch.bool)
    chosen[0, [0, 4, 6]], chosen[1, [1, 4, 5, 6]] = True, True
    draws = [(0.7, torch.randperm(3)), (0.6, torch.randperm(3)), (0.8, torch.randperm(4)), (0.9, torch.randperm(4))]
    masks = [((torch.rand(12) < 0.5).float(), *draw) for draw in draws]
    mixes, patches = [mixup.Mix(*d) for d in draws], [mixup.Patchwork(m[0], mixup.Mix(*m[1:])) for m in masks]
    monkeypatch.setattr(mixup, "draw", lambda *_: mixes.pop(0))
    monkeypatch.setattr(mixup, "draw_mask", lambda *_: patches.pop(0))
    before = deepcopy(learner)
    terms = learner.co_step((chosen[0], chosen[1]), 0.3, 0.2, False, batch)
    y = torch.stack([one_hot(best(world, i, human)) for i in batch.index.tolist()])
    for k, network, side in (("a", before.network, before.side), ("b", before.peer, before.peer_side)):
        rows = chosen["ab".index(k), batch.index]
        margin, doubt = 0.5 * side.reliable_mean.log(), 0.5 * side.mean.log()
        weak, strong = (network.features(view) for view in batch.views)
        q = (network.head(weak) - doubt).softmax(1) ** 4
        expected = {
            "unreliable_weak": 0.2 * ce(side.head(weak)[~rows] + doubt, (q / q.sum(1, keepdim=True))[~rows]),
            "unreliable_strong": 0.06 * ce(side.head(strong)[~rows] + doubt, (q / q.sum(1, keepdim=True))[~rows]),
        }
        for head, name in ((network.head, ""), (side.head, "_pseudo")):
            expected[f"weak{name}"] = ce(head(weak)[rows] + margin, y[rows])
            expected[f"strong{name}"] = 0.3 * ce(head(strong)[rows] + margin, y[rows])
            x, t, (mask, share, order) = batch.views[0][rows], y[rows], masks.pop(0)
            soft = share * t + (1 - share) * t[order]
            mixed = head(network.features(share * x + (1 - share) * x[order]))
            expected[f"mixup{name}"] = 0.3 * ce(mixed + margin, soft)
            patched = head(network.features(mask * x + (1 - mask) * x[order]))
            expected[f"fmix{name}"] = 0.3 * ce(patched + margin, soft)
        for name, value in expected.items():
            assert terms[f"{name}_{k}"].item() == pytest.approx(value, rel=1e-4), name
        p = network.head(weak).softmax(1)
        now = learner.side if k == "a" else learner.peer_side
        torch.testing.assert_close(now.reliable_mean, 0.9 * side.reliable_mean + 0.1 * p[rows].mean(0))
        torch.testing.assert_close(now.mean, 0.9 * side.mean + 0.1 * p[~rows].mean(0))
    for mine, copy in zip(learner.networks, before.networks, strict=True):
        for one, other in zip(mine.buffers(), copy.buffers(), strict=True):
            torch.testing.assert_close(one, other)  # as many passes, in the same order
    assert len(terms) == 20


def ce(logits: Tensor, target: Tensor) -> float:
    return -float((target * logits.log_softmax(1)).sum(1).mean().detach())


def test_what_makes_an_image_reliable_and_its_target(world) -> None:  # type: ignore[no-untyped-def]
    learner = learner_of(ProMix, world, confidence=0.8, debias=1.0)
    learner.side.reliable_mean.copy_(torch.tensor([0.97, 0.01, 0.01, 0.01]))
    index = torch.arange(4)
    given = learner.initial_labels[index]
    wrong = (given + 1) % 4
    p = torch.full((4, 4), 0.05)
    p[0, given[0]] = 0.85  # sure of the given label
    p[1, wrong[1]] = 0.85  # both sure of another class
    p[2, wrong[2]] = 0.85  # selected, whatever the network says
    p[3] = 0.25
    chosen = torch.zeros(len(world.truth), dtype=torch.bool)
    chosen[2] = True
    for late, expected in ((False, [True, False, True, False]), (True, [True, True, True, False])):
        reliable, target = learner.believe(chosen, index, p, p, p.log(), learner.side, late)
        assert reliable.tolist() == expected
        assert target[0].argmax() == given[0] and target[2].argmax() == given[2]
    debiased = p[1] / learner.side.reliable_mean
    assert target[1].argmax() == debiased.argmax()


def test_pseudo_labels_do_not_reach_the_primary_head(world) -> None:  # type: ignore[no-untyped-def]
    learner = learner_of(ProMix, world, confidence=1.0)
    nobody = torch.zeros(len(world.truth), dtype=torch.bool)
    terms = learner.co_step((nobody, nobody), 1.0, 1.0, True, batch_of(world, 0, 1, 2, views=2))
    sum(terms.values()).backward()
    assert not learner.network.head.weight.grad.any()
    assert learner.side.head.weight.grad.any()


def test_an_image_without_a_vote_is_reliable_by_agreement_alone(world) -> None:  # type: ignore[no-untyped-def]
    candidates = world.annotations.candidates.clone()
    candidates[3] = False
    annotations = world.annotations.with_candidates(candidates, "union")
    learner = ProMix(build("mlp", 4, 12), annotations, confidence=0.9)
    sure = F.one_hot(torch.full((240,), 2), 4).float()
    assert learner.select(sure, 1.0, learner.labels)[3] == -1
    nobody = torch.zeros(240, dtype=torch.bool)
    for late in (False, True):
        index = torch.tensor([3, 4])
        reliable, target = learner.believe(nobody, index, sure[:2], sure[:2], sure[:2], learner.side, late)
        assert bool(reliable[0]) is late and torch.equal(target[0], one_hot(2))
