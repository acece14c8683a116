"""Epochs under a limit of time, by a clock that the test turns."""

from itertools import pairwise

import pytest
import torch

from zerolabel.data.views import Features
from zerolabel.learners import LEARNERS
from zerolabel.networks import build
from zerolabel.training import train
from zerolabel.training.pace import Limit, Pace, shortened
from zerolabel.training.settings import Settings

EPOCHS = 20
HOW = Settings(epochs=EPOCHS, batch_size=64, precision="float32", device="cpu")


class Clock:
    """Goes on by so many seconds whenever it is read twice: each epoch takes so long."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.now = seconds, 0.0

    def __call__(self) -> float:
        self.now += self.seconds / 2
        return self.now


def learner(world, name="coreg"):
    torch.manual_seed(0)
    hyper = {"warm_up": 8} if name in ("coreg", "must") else {}
    return LEARNERS[name](build("mlp", 4, world.features.shape[1]), world.annotations, **hyper)


def run(made, world, limit=None, checkpoint=None):
    return list(train(made, Features(world.features), HOW, checkpoint, None, limit))


def weights(made):
    return torch.cat([one.flatten() for one in made.network.parameters()])


def test_time_that_is_enough_changes_nothing(world):
    free, limited = learner(world), learner(world)
    assert [log.epoch for log in run(free, world)] == list(range(EPOCHS))
    assert len(run(limited, world, Limit(1e9, (1.0,) * EPOCHS))) == EPOCHS
    assert torch.equal(weights(free), weights(limited))


@pytest.mark.parametrize("seconds", [200, 120, 60])
def test_short_time_leaves_out_epochs_and_finishes_the_schedule(world, seconds):
    clock = Clock(20.0)
    logs = run(learner(world), world, Limit(float(seconds), (1.0,) * EPOCHS, clock))
    numbers = [log.epoch for log in logs]
    assert len(logs) * 10 <= seconds + 10 and len(logs) >= seconds // 10 - 2
    assert numbers == sorted(set(numbers)) and numbers[-1] == EPOCHS - 1 and logs[-1].progress == 1.0
    assert logs[-1].learning_rate == HOW.lr_at(EPOCHS - 1)
    assert 8 in numbers  # the first epoch after the warm-up
    gaps = [b - a for a, b in pairwise(numbers[2:])]
    assert max(gaps) <= 2 * EPOCHS // len(logs) + 1


def test_epochs_that_cost_more_later_are_foreseen(world):
    costs = tuple([1.0] * 8 + [5.0] * 12)
    pace = Pace(list(range(EPOCHS)), Limit(34.0, costs, lambda: 0.0), 8)
    spent = 0.0
    while pace.left:
        number = pace.begin()
        before = pace.spent
        pace.limit = Limit(34.0, costs, lambda number=number: costs[number])
        pace._began = 0.0
        pace.finish(number)
        spent += pace.spent - before
    assert spent <= 34.0


def test_a_resumed_training_goes_by_the_same_decision(world, tmp_path):
    limit = Limit(70.0, (1.0,) * EPOCHS, Clock(20.0))
    whole = learner(world)
    expected = [log.epoch for log in run(whole, world, limit)]
    first, steps = learner(world), []
    part = train(first, Features(world.features), HOW, tmp_path / "c", None, Limit(70.0, (1.0,) * EPOCHS, Clock(20.0)))
    for log in part:
        steps.append(log.epoch)
        if len(steps) == 4:
            break
    part.close()
    rest = learner(world)
    steps = steps[:3] + [log.epoch for log in run(rest, world, limit_with(70.0), tmp_path / "c")]
    assert steps == expected and torch.equal(weights(rest), weights(whole))


def limit_with(seconds):
    return Limit(float(seconds), (1.0,) * EPOCHS, Clock(20.0))


def test_the_last_epoch_is_run_even_when_the_time_is_over():
    assert shortened([3, 4, 5], [1.0] * 6, -1.0) == [5]
    assert shortened([], [1.0], 3.0) == []
    assert shortened([3, 4, 5], [1.0] * 6, 3.0) == [3, 4, 5]
