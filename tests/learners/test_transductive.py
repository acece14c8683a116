"""Transductive CLIP against loops written from its formulas."""

import torch

from zerolabel.learners import TransductiveCLIP
from zerolabel.learners.base import Batch
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


def test_labels_move_but_for_people_and_the_unlabelled(world) -> None:  # type: ignore[no-untyped-def]
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
