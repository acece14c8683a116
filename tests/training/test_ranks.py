"""Training in two processes on the processor: as good as one, the same when repeated, and resumed after a death."""

import multiprocessing
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from sklearn.datasets import load_digits
from torch import Tensor

from tests.conftest import build_annotations
from zerolabel.data.views import Pixels, Preprocess
from zerolabel.errors import InputError
from zerolabel.learners import LEARNERS
from zerolabel.networks import build
from zerolabel.training import predict, train
from zerolabel.training.checkpoints import Checkpoint
from zerolabel.training.loop import _epochs, make_fabric
from zerolabel.training.ranks import Ranks, together
from zerolabel.training.settings import Settings, make_settings

N = 400
TRUTH = torch.from_numpy(load_digits().target[:N]).long()


def settings(**more: Any) -> Settings:
    return Settings(**{"epochs": 4, "batch_size": 32, "lr": 0.05, "precision": "float32", "device": "cpu"} | more)


def learner(name: str = "pico", **options: Any) -> Any:
    """On three annotators that are right on 70 % of the digits."""
    generator = torch.Generator().manual_seed(0)
    wrong = torch.randint(10, (N, 3), generator=generator)
    votes = torch.where(torch.rand(N, 3, generator=generator) < 0.7, TRUTH[:, None], wrong)
    torch.manual_seed(0)
    return LEARNERS[name](build("light", 10, 8), build_annotations(votes, 10), **options)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Pixels:
    """Digits that are mapped from a file, as those of a run."""
    file = tmp_path_factory.mktemp("pixels") / "rows.npy"
    np.save(file, (load_digits().images[:N, None] * 15.9).astype(np.uint8).repeat(3, 1))
    return Pixels(np.load(file, mmap_mode="r"), Preprocess(8, (0.3,) * 3, (0.3,) * 3), flip=False)


def accuracy(trained: Any, source: Pixels, how: Settings) -> float:
    p = predict(trained.network, source, make_fabric(how), 256)
    return float((p.argmax(1) == TRUTH).float().mean())


def state(trained: Any) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in trained.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())


def test_two_learn_as_well_as_one_and_a_killed_one_goes_on_with_the_same_bits(source: Pixels, tmp_path: Path) -> None:
    alone, two = learner(), learner()
    logs = list(train(alone, source, settings()))
    other = list(train(two, source, settings(devices=2), tmp_path / "whole"))
    assert [log.epoch for log in other] == [0, 1, 2, 3] and other[0].losses.keys() == logs[0].losses.keys()
    one, both = (accuracy(each, source, settings()) for each in (alone, two))
    assert one > 0.8 and abs(one - both) < 0.05
    cut = learner()
    with pytest.raises(InputError, match=r"process of the training died \(exit code -9\); --resume continues"):
        for log in train(cut, source, settings(devices=2), tmp_path / "cut"):
            if log.epoch == 2:
                (child,) = multiprocessing.active_children()
                child.kill()
    assert Checkpoint.load(tmp_path / "cut").meta["epoch"] in (1, 2) and not dist.is_initialized()
    again = learner()
    list(train(again, source, settings(devices=2), tmp_path / "cut"))
    assert same(state(two), state(again))
    with pytest.raises(InputError, match="trained with devices 2, not 1"):
        list(train(learner(), source, settings(), tmp_path / "cut"))


def states(given: Any, source: Pixels, how: Settings, ranks: Ranks) -> Iterator[Any]:
    """Train, and compare the state of all ranks after each epoch."""
    for _ in _epochs(given, source, how, None, None, None, ranks):
        found: list[Any] = [None] * ranks.count
        dist.all_gather_object(found, state(given))
        yield [same(found[0], each) for each in found], given.figures


def test_ranks_hold_the_same_after_each_epoch_of_a_learner_that_divides_the_images(source: Pixels) -> None:
    """Co-Reg: two networks, predictions of all images, groups by a mixture, queues, prototypes, histories."""
    given = learner("coreg", warm_up=1, queue=64)
    told = settings(epochs=3, devices=2)
    with together(2, "cpu", states, given, source, told) as ranks:
        for equal, _ in islice(states(given, source, told, ranks), 3):
            assert equal == [True, True]


def test_parts_of_a_group_are_as_long_as_the_longest_and_of_the_own_images() -> None:
    groups = torch.tensor([0, 2, 4, 1]), torch.tensor([3, 5]), torch.zeros(0, dtype=torch.long)
    even, odd = (Ranks(rank, 2).groups(groups) for rank in (0, 1))
    assert [part.tolist() for part in even] == [[0, 2, 4], [3, 5], []]
    assert [part.tolist() for part in odd] == [[1, 1, 1], [3, 5], []]
    assert Ranks().groups(groups) is groups and Ranks(1, 2).mine(torch.arange(5)).tolist() == [1, 3]


def test_devices_that_are_not_there_are_told() -> None:
    assert make_settings({"device": "cpu", "devices": 2}).devices == 2
    with pytest.raises(InputError, match="devices"):
        make_settings({"devices": 0})
