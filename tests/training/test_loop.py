"""The loop: schedule, drawing, one optimizer, prediction."""

import math
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from zerolabel.blocks import losses
from zerolabel.data.views import Features
from zerolabel.errors import InputError
from zerolabel.learners.base import Batch, Epoch, Learner, Losses, Pass, hyper_parameters
from zerolabel.networks import build, twin
from zerolabel.training import loop, train
from zerolabel.training.settings import Settings

CPU = Settings(epochs=3, batch_size=32, precision="float32", device="cpu")


def settings(**change: object) -> Settings:
    return Settings(**(vars(CPU) | change))


class Plain(Learner):
    """Trains the network alone, and counts what it is given."""

    views = ("weak",)

    def __init__(self, network, annotations, *, scale: float = 1.0) -> None:  # type: ignore[no-untyped-def]
        super().__init__(network, annotations)
        self.scale, self.seen, self.modes, self.probabilities = scale, [], [], []

    def passes(self, epoch: Epoch) -> Iterable[Pass]:
        self.probabilities.append((epoch.number, epoch.progress, epoch.predict(self.network)))
        yield Pass(self.training_step)

    def training_step(self, batch: Batch) -> Losses:
        self.seen += batch.index.tolist()
        self.modes.append(self.network.training)
        return {"supervised": self.scale * losses.cross_entropy(self.network(batch.views[0]), self.scores[batch.index])}


class Alternating(Learner):
    """Two networks; from the second epoch on only the first has a gradient."""

    def __init__(self, network, annotations) -> None:  # type: ignore[no-untyped-def]
        super().__init__(network, annotations)
        self.peer = twin(network)

    def passes(self, epoch: Epoch) -> Iterable[Pass]:
        yield Pass(lambda batch: self.training_step(self.network, batch))
        if epoch.number == 0:
            yield Pass(lambda batch: self.training_step(self.peer, batch))

    def training_step(self, network, batch: Batch) -> Losses:  # type: ignore[no-untyped-def]
        return {"supervised": losses.cross_entropy(network(batch.views[0]), self.scores[batch.index])}


def plain(world, **options: float) -> Plain:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    return Plain(build("mlp", 4, world.features.shape[1]), world.annotations, **options)


@pytest.mark.parametrize("period", [None, 800])
def test_cosine(period: int | None) -> None:
    how = Settings(epochs=100, lr=0.01, final_lr=1e-3, period=period)
    for epoch in (0, 1, 50, 99, 100):
        expected = 1e-5 + (0.01 - 1e-5) * (1 + math.cos(math.pi * epoch / (period or 100))) / 2
        assert how.lr_at(epoch) == pytest.approx(expected)
    assert how.lr_at(0) == pytest.approx(0.01)
    assert how.lr_at(100) == pytest.approx(1e-5 if period is None else 0.00962, rel=1e-3)


def test_a_batch_knows_how_far_its_pass_is(world) -> None:  # type: ignore[no-untyped-def]
    learner = plain(world)
    step, found = learner.training_step, []
    learner.training_step = lambda batch: (found.append(batch.progress), step(batch))[1]  # type: ignore[method-assign]
    list(train(learner, Features(world.features), settings(epochs=2, batch_size=len(world.truth) // 3)))
    assert found == pytest.approx([0, 1 / 3, 2 / 3] * 2)


def test_the_schedule_reaches_the_optimizer_and_the_log(world) -> None:  # type: ignore[no-untyped-def]
    learner = plain(world)
    rates = []
    for log in train(learner, Features(world.features), settings(epochs=4, lr=0.0)):
        assert log.learning_rate == 0
    assert all(torch.equal(a, b) for a, b in zip(learner.parameters(), plain(world).parameters(), strict=True))
    for log in train(learner, Features(world.features), settings(epochs=4)):
        rates.append(log.learning_rate)
    assert rates == [settings(epochs=4).lr_at(e) for e in range(4)]


def drawn(one: Pass, n: int, size: int) -> list[list[list[int]]]:
    return [[group.tolist() for group in groups] for groups in loop.index_batches(one, n, size)]


def test_no_group_means_all_images_once() -> None:
    batches = drawn(Pass(print), 10, 4)
    assert [len(groups[0]) for groups in batches] == [4, 4, 2]
    assert sorted(i for (group,) in batches for i in group) == list(range(10))
    assert [len(groups[0]) for groups in drawn(Pass(print, batches=2), 10, 4)] == [8, 2]


@pytest.mark.parametrize("second", [1, 3, 7, 30])
def test_the_first_group_is_drawn_once_and_the_others_restart(second: int) -> None:
    first, other = torch.arange(100, 110), torch.arange(200, 200 + second)
    batches = drawn(Pass(print, (first, other)), 999, 4)
    assert [[len(group) for group in groups] for groups in batches] == [[4, 4], [4, 4], [2, 2]]
    assert sorted(i for groups in batches for i in groups[0]) == first.tolist()
    counts = Counter(i for groups in batches for i in groups[1])
    assert max(counts.values()) - min([*counts.values(), *([0] if len(counts) < second else [])]) <= 1
    assert set(counts) <= set(other.tolist())


def test_a_group_that_restarts_without_repeats_ends_each_round_with_a_short_batch() -> None:
    """Co-Reg's code: 1,000 images of the partial split, 300 or 10 or 2,000 of the unlabeled one."""
    first = torch.arange(1000)
    for n, sizes in ((300, [256, 44, 256, 44]), (10, [10] * 4), (2000, [256] * 4), (0, [0] * 4)):
        batches = drawn(Pass(print, (first, torch.arange(2000, 2000 + n)), repeats=False), 9999, 256)
        assert [len(groups[0]) for groups in batches] == [256, 256, 256, 232]
        assert [len(groups[1]) for groups in batches] == sizes
        assert all(len(set(groups[1])) == len(groups[1]) for groups in batches)
    two = drawn(Pass(print, (first, torch.arange(300)), repeats=False), 9999, 256)
    assert sorted(two[0][1] + two[1][1]) == sorted(two[2][1] + two[3][1]) == list(range(300))


def test_empty_groups() -> None:
    none, some = torch.zeros(0, dtype=torch.long), torch.arange(5)
    assert [[len(group) for group in groups] for groups in drawn(Pass(print, (none, some)), 9, 3)] == [[0, 3], [0, 2]]
    assert [[len(group) for group in groups] for groups in drawn(Pass(print, (some, none)), 9, 3)] == [[3, 0], [2, 0]]
    assert drawn(Pass(print, (none,)), 9, 3) == []
    assert drawn(Pass(print, (none, none)), 9, 3) == []


def test_order_is_random_and_seeded() -> None:
    orders = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        orders.append(drawn(Pass(print), 50, 50))
    assert orders[0] == orders[1] != orders[2]
    assert orders[0] != [[list(range(50))]]


def test_an_epoch_shows_every_image_once_and_predicts_in_eval_mode(world) -> None:  # type: ignore[no-untyped-def]
    learner = plain(world)
    logs = list(train(learner, Features(world.features), CPU))
    assert Counter(learner.seen) == Counter({i: 3 for i in range(len(world.truth))})
    assert all(learner.modes)
    assert [(number, progress) for number, progress, _ in learner.probabilities] == [(0, 0), (1, 1 / 3), (2, 2 / 3)]
    for _, _, p in learner.probabilities:
        assert p.shape == (len(world.truth), 4) and torch.allclose(p.sum(1), torch.ones(len(p)))
    assert logs[-1].losses["supervised"] < logs[0].losses["supervised"]
    assert set(logs[0].to_dict()) >= {"epoch", "losses", "figures", "learning_rate", "seconds"}


def test_a_loss_that_is_not_finite_stops(world, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "state"
    with pytest.raises(FloatingPointError, match="'supervised' is not finite in epoch 0"):
        list(train(plain(world, scale=float("nan")), Features(world.features), CPU, file))
    assert not file.exists()


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_one_optimizer_does_not_move_a_network_without_a_gradient(optimizer: str, world) -> None:  # type: ignore[no-untyped-def]
    learner = Alternating(build("mlp", 4, world.features.shape[1]), world.annotations)
    how = settings(optimizer=optimizer, momentum=0.9, weight_decay=0.1, lr=0.05)
    run = train(learner, Features(world.features), how)
    start = [p.clone() for p in learner.peer.parameters()]
    next(run)
    peer, own = ([p.clone() for p in network.parameters()] for network in (learner.peer, learner.network))
    assert not all(torch.equal(a, b) for a, b in zip(start, peer, strict=True))
    list(run)
    assert all(torch.equal(a, b) for a, b in zip(peer, learner.peer.parameters(), strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(own, learner.network.parameters(), strict=True))


@pytest.mark.parametrize("mode", [True, False])
@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_predict_is_in_eval_mode_and_restores_the_mode(mode: bool, batch_size: int) -> None:
    network = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Dropout(0.9)).train(mode)
    x = torch.nn.functional.normalize(torch.randn(10, 3), dim=1)
    p = loop.predict(network, Features(x), loop.make_fabric(CPU), batch_size)
    torch.testing.assert_close(p, network[0](x).softmax(1).detach())
    assert network.training is mode and network[1].training is mode and not p.requires_grad


def test_predict_restores_the_mode_after_an_error() -> None:
    network = torch.nn.Linear(99, 2).train()
    with pytest.raises(RuntimeError):
        loop.predict(network, Features(torch.randn(4, 3)), loop.make_fabric(CPU), 2)
    assert network.training


def test_a_finished_training_is_not_repeated(world, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "state"
    learner = plain(world)
    assert len(list(train(learner, Features(world.features), CPU, file))) == 3
    other = plain(world)
    assert list(train(other, Features(world.features), CPU, file)) == []
    assert all(torch.equal(a, b) for a, b in zip(learner.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("change", [{"lr": 0.5}, {"epochs": 9}, {"seed": 4}, {"optimizer": "adamw"}])
def test_a_checkpoint_of_other_settings_is_refused(change: dict[str, object], world, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "state"
    list(train(plain(world), Features(world.features), CPU, file))
    with pytest.raises(InputError, match=next(iter(change))):
        list(train(plain(world), Features(world.features), settings(**change), file))


def test_steps_without_any_image_leave_the_network_alone(world) -> None:  # type: ignore[no-untyped-def]
    class Idle(Plain):
        def passes(self, epoch: Epoch) -> Iterable[Pass]:
            yield Pass(self.training_step, (torch.zeros(0, dtype=torch.long),))

    torch.manual_seed(0)
    learner = Idle(build("mlp", 4, world.features.shape[1]), world.annotations)
    logs = list(train(learner, Features(world.features), CPU))
    assert [log.losses for log in logs] == [{}] * 3 and learner.seen == []


def test_hyper_parameters_are_the_keyword_arguments() -> None:
    assert hyper_parameters(Plain) == {"scale": 1.0}


def test_bfloat16_trains_close_to_float32(world) -> None:  # type: ignore[no-untyped-def]
    ends = []
    for precision in ("float32", "bfloat16"):
        learner = plain(world)
        *_, last = train(learner, Features(world.features), settings(precision=precision))
        ends.append(last.losses["supervised"])
        assert all(p.dtype == torch.float32 for p in learner.parameters())
    assert ends[1] == pytest.approx(ends[0], rel=0.02) and isinstance(learner.candidates, Tensor)


class Named:
    """A source whose views differ by their name: ones in the weak view, zeros in all others."""

    def __init__(self, rows: Tensor) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def views(self, names, index):  # type: ignore[no-untyped-def]
        return tuple(self.rows[index] * float(name == "weak") for name in names)


class Parts(Plain):
    """Its head learns at a tenth of the rate."""

    def parameter_groups(self):  # type: ignore[no-untyped-def]
        return [(1.0, list(self.network.backbone.parameters())), (0.1, list(self.network.head.parameters()))]


def test_parts_keep_their_share_of_the_rate(world) -> None:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    learner = Parts(build("mlp", 4, world.features.shape[1]), world.annotations)
    optimizer = loop.make_optimizer(learner, CPU)
    loop.set_learning_rate(optimizer, 0.5)
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.05]


def test_predictions_between_passes_are_of_the_weak_view() -> None:
    rows, network = torch.randn(8, 3), torch.nn.Linear(3, 2)
    p = loop.predict_weak_view(network, Named(rows), loop.make_fabric(CPU), CPU)
    torch.testing.assert_close(p, network(rows).softmax(1).detach())


@pytest.mark.parametrize("statistics", ["recomputed", "running"])
def test_the_last_statistics_are_those_of_the_weak_views(statistics: str, world) -> None:  # type: ignore[no-untyped-def]
    learner, seen = plain(world), 5 + 2 * world.features
    learner.network.backbone = torch.nn.Sequential(torch.nn.BatchNorm1d(seen.shape[1]), learner.network.backbone)
    assert list(train(learner, Named(seen), settings(statistics=statistics, batch_size=len(seen) // 4)))
    norm = learner.network.backbone[0]
    own = torch.allclose(norm.running_mean, seen.mean(0), atol=1e-4)
    own &= torch.allclose(norm.running_var, seen.var(0), rtol=1e-3)
    assert own == (statistics == "recomputed")
