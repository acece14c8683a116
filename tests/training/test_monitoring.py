"""Alarms while a student trains: when and where it is looked, what is seen, and that training is not touched by it."""

import io

import pytest
import torch
from rich.console import Console

from zerolabel.data.views import Features
from zerolabel.learners import LEARNERS
from zerolabel.networks import build
from zerolabel.runs.progress import Display
from zerolabel.training import EpochLog, train
from zerolabel.training.monitoring import CHECKS, COST, MOST, check_epochs, monitored, monitored_rows
from zerolabel.training.settings import Settings

SETTINGS = Settings(epochs=12, batch_size=64, lr=0.05, precision="float32", device="cpu")


def make(name: str, world, **options):  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    return LEARNERS[name](build("mlp", 4, world.features.shape[1]), world.annotations, **options)


@pytest.mark.parametrize("epochs", [1, 2, 3, 5, 20, 69, 100, 800])
def test_looks_are_few_and_never_early(epochs: int) -> None:
    found = check_epochs(epochs)
    assert len(found) <= CHECKS and all(epochs // 4 <= e < epochs - 1 for e in found)
    assert epochs < 5 or len(found) >= 2


@pytest.mark.parametrize(("n_images", "epochs"), [(0, 10), (50, 10), (1297, 20), (1297, 69), (50_000, 100)])
def test_few_images_are_watched(n_images: int, epochs: int) -> None:
    rows = monitored_rows(n_images, epochs)
    assert len(rows) <= min(n_images, MOST) and len(set(rows.tolist())) == len(rows)
    affordable = 3 * COST * epochs * n_images
    assert len(rows) * len(check_epochs(epochs)) <= max(affordable, 200 * len(check_epochs(epochs)))
    assert not len(rows) or (int(rows[0]), int(rows[-1])) == (0, n_images - 1)


def test_a_collapse_is_seen(world) -> None:  # type: ignore[no-untyped-def]
    learner, source = make("tent", world), Features(world.features)
    steps = train(learner, source, SETTINGS)
    logs = list(monitored(steps, learner, source, SETTINGS, world.annotations))
    assert [log.epoch for log in logs] == list(range(12))
    seen = {log.epoch for log in logs if log.alarms}
    assert seen <= check_epochs(12) and seen
    assert "rarely predicts" in logs[max(seen)].alarms["collapse"]


def test_a_good_training_sets_off_nothing_and_is_not_touched(world) -> None:  # type: ignore[no-untyped-def]
    states = []
    for monitoring in (False, True):
        learner, source = make("coreg", world, warm_up=4, ramp=2, delay=1, queue=64), Features(world.features)
        steps = train(learner, source, SETTINGS)
        logs = list(monitored(steps, learner, source, SETTINGS, world.annotations) if monitoring else steps)
        states.append(learner.state_dict())
    assert all(torch.equal(states[0][name], value) for name, value in states[1].items())
    assert not any(log.alarms for log in logs)
    assert {log.epoch for log in logs if "disagreement" in log.figures} == check_epochs(12)


def test_networks_that_drift_apart_are_told_from_the_log(world) -> None:  # type: ignore[no-untyped-def]
    learner, source = make("coteaching", world), Features(world.features)
    for p in learner.networks[1].parameters():
        p.data.normal_()
    log = EpochLog(8, 0.75, {}, {}, 0.1, 1.0, 1.0)
    before = [{"figures": {"disagreement": 0.01}}, {"figures": {}}]
    (seen,) = monitored(iter([log]), learner, source, SETTINGS, world.annotations, lambda epoch: before[:epoch])
    assert "drift apart" in seen.alarms["disagreement"]
    (alone,) = monitored(iter([log]), learner, source, SETTINGS, world.annotations)
    assert "disagreement" not in alone.alarms


@pytest.mark.parametrize("terminal", [True, False])
def test_each_alarm_is_shown_once(terminal: bool) -> None:
    text = io.StringIO()
    alarms = [{}, {"collapse": "the student rarely predicts 'a'."}, {"collapse": "the same."}, {"worse": "it is."}]
    steps = (EpochLog(i, (i + 1) / 4, {}, {}, 0.1, 1.0, 1.0, alarms=one) for i, one in enumerate(alarms))
    console = Console(file=text, force_terminal=terminal, width=100)
    assert len(list(Display(console)("train", steps))) == 4
    shown = text.getvalue()
    assert shown.count("alarm after epoch 2: the student rarely predicts 'a'.") == 1
    assert "the same" not in shown and shown.count("alarm after epoch 4: it is.") == 1
