"""What the tests of single learners share: a learner amid its training, batches, and one image at a time."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zerolabel.learners import Learner
from zerolabel.learners.base import Batch, Epoch, Pass
from zerolabel.networks import build


def human_of(world, **given: int) -> Tensor:  # type: ignore[no-untyped-def]
    human = torch.full((len(world.truth),), -1)
    for place, label in given.items():
        human[int(place.removeprefix("at"))] = label
    return human


def learner_of(kind: type[Learner], world, human: Tensor | None = None, **options: object) -> Learner:  # type: ignore[no-untyped-def]
    torch.manual_seed(3)
    annotations = world.annotations if human is None else world.annotations.with_labels(human)
    learner = kind(build("mlp", len(annotations.classes), world.features.shape[1]), annotations, **options)
    with torch.no_grad():  # heads start near zero: make the predictions differ
        for own in learner.networks:
            own.head.weight.mul_(20)
    return learner.train()


def batch_of(world, *index: int, views: int = 1) -> Batch:  # type: ignore[no-untyped-def]
    rows = torch.tensor(index, dtype=torch.long)
    x = world.features[rows]
    return Batch(rows, tuple(x + 0.1 * torch.randn_like(x) for _ in range(views)))


def softmax(network: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        return network(x[None]).softmax(1)[0]


def epoch_of(learner: Learner, number: int, progress: float = 0.5, p: Tensor | None = None) -> list[Pass]:
    n, c = learner.scores.shape
    given = torch.rand(n, c).softmax(1) if p is None else p
    return list(learner.passes(Epoch(number, progress, lambda _: given)))


def best(world, i: int, human: Tensor) -> int:  # type: ignore[no-untyped-def]
    return int(human[i]) if human[i] >= 0 else int(world.annotations.scores[i].argmax())


def indices(groups: Iterable[Tensor]) -> list[list[int]]:
    return [sorted(group.tolist()) for group in groups]


def one_hot(label: int, n_classes: int = 4) -> Tensor:
    return F.one_hot(torch.tensor(label), n_classes).float()
