"""Transductive CLIP against loops written from its formulas."""

import pytest
import torch

from zerolabel.learners import TransductiveCLIP
from zerolabel.learners.base import Batch, Epoch
from zerolabel.networks import build


def learner_of(world, human: torch.Tensor | None = None) -> TransductiveCLIP:  # type: ignore[no-untyped-def]
    torch.manual_seed(3)
    annotations = world.annotations if human is None else world.annotations.with_labels(human)
    return TransductiveCLIP(build("mlp", 4, 12), annotations, queue=4, embedding=8).train()


def test_attraction_against_the_loop(world) -> None:  # type: ignore[no-untyped-def]
    learner = learner_of(world)
    learner.ensemble.copy_(torch.rand_like(learner.ensemble).softmax(1))
    learner.contrast.queue.push(torch.randn(2, 8), torch.tensor([7, 1]), torch.tensor([True, True]))
    index = torch.tensor([0, 1, 5])
    t, ignored = learner.attraction(index)
    entries = [0, 1, 5, 7, 1]
    for i in range(3):
        row = [float(learner.ensemble[index[i]] @ learner.ensemble[k]) for k in entries]
        row[i] += 1
        expected = [0.0] * 3 + [v / sum(row) for v in row] + [0.0] * 2
        torch.testing.assert_close(t[i], torch.tensor(expected))
        assert ignored[i].tolist() == [True] * 3 + [False] * 5 + [True] * 2


def test_labels_move_but_for_people_and_the_unlabeled(world) -> None:  # type: ignore[no-untyped-def]
    human = torch.full((len(world.truth),), -1)
    human[1] = 2
    learner = learner_of(world, human)
    learner.ensemble[2] = 0
    before, index = learner.ensemble.clone(), torch.arange(4)
    x = world.features[index]
    batch = Batch(index, (x, x))
    learner.training_step(1.0, False, batch)
    assert torch.equal(learner.ensemble, before)
    learner.training_step(1.0, True, batch)
    p = learner.network(x).detach().softmax(1)
    for i in (0, 3):
        torch.testing.assert_close(learner.ensemble[i], 0.9 * before[i] + 0.1 * p[i])
    assert learner.ensemble[1].tolist() == [0, 0, 1, 0] and not bool(learner.ensemble[2].any())


def test_both_terms_against_the_loop(world) -> None:  # type: ignore[no-untyped-def]
    learner, index = learner_of(world), torch.tensor([0, 1, 5, 6])
    learner.ensemble.copy_(torch.rand_like(learner.ensemble).softmax(1))
    learner.ensemble[5] = 0  # no scores: joins the contrast alone
    learner.contrast.queue.push(torch.nn.functional.normalize(torch.randn(2, 8), dim=1), index[:2], torch.ones(2) > 0)
    learner.contrast.start(learner.network)
    x = world.features[index]
    weak, strong = x + 0.05 * torch.randn_like(x), x + 0.2 * torch.randn_like(x)
    with torch.no_grad():
        features = learner.network.features(strong)
        logits, z = learner.network.head(features), learner.contrast.embed(features)
        keys = learner.contrast.momentum(weak)
    entries, owner = torch.cat([keys, learner.contrast.queue.keys[:2]]), [0, 1, 5, 6, 0, 1]
    terms = learner.training_step(0.6, False, Batch(index, (weak, strong)))
    label = [-float((learner.ensemble[i] * logits[k].log_softmax(0)).sum()) for k, i in enumerate(index) if i != 5]
    assert terms["classification"].item() == pytest.approx(sum(label) / 3, rel=1e-4)
    total = 0.0
    for k, i in enumerate(index.tolist()):
        t = [float(j == k) + float(learner.ensemble[i] @ learner.ensemble[o]) for j, o in enumerate(owner)]
        log_p = (z[k] @ entries.T / 0.07).log_softmax(0).tolist()
        total -= sum(a / sum(t) * b for a, b in zip(t, log_p, strict=True)) / 4
    assert terms["contrast"].item() == pytest.approx(0.6 * total, rel=1e-3)


def test_labels_begin_to_move_after_a_share_of_the_training(world) -> None:  # type: ignore[no-untyped-def]
    learner = learner_of(world)
    steps = [next(iter(learner.passes(Epoch(e, e / 20, lambda _: learner.scores)))).step for e in range(20)]
    assert [step.args[1] for step in steps] == [False] * 2 + [True] * 18
    assert [step.args[0] for step in steps[:4]] == pytest.approx([0, 0.5, 1, 1])
