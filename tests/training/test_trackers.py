"""Trackers write what the log of an epoch holds; each is read back by its own reader where it is installed."""

import json
import sys

import pytest

from zerolabel.errors import InputError
from zerolabel.training import trackers
from zerolabel.training.loop import EpochLog

LOGS = [
    EpochLog(epoch, (epoch + 1) / 3, {"partial": 1.5 - epoch / 4}, {"agreement": 0.25 * epoch}, 0.5, 200.0, 2.0)
    for epoch in range(3)
]
LOSS = [(0, 1.5), (1, 1.25), (2, 1.0)]


def test_epochs_pass_through_and_are_written_first(monkeypatch, tmp_path):
    written, closed = [], []

    @trackers.contextmanager
    def fake(folder, title):
        yield lambda epoch, values: written.append((folder, title, epoch, values["train_on_features/loss/partial"]))
        closed.append(True)

    monkeypatch.setitem(trackers.TRACKERS, "tensorboard", fake)
    seen = []
    for log in trackers.tracked(LOGS, "train on features", ["tensorboard"], tmp_path):
        seen.append(log)
        assert len(written) == len(seen) and not closed
    assert seen == LOGS and closed == [True]
    place = (tmp_path / "tracking", f"{tmp_path.name} train on features")
    assert written == [(*place, epoch, loss) for epoch, loss in LOSS]
    assert list(trackers.tracked(LOGS, "train", [], tmp_path)) == LOGS and not list(tmp_path.iterdir())


def test_what_is_missing_is_said_before_any_work(monkeypatch):
    with pytest.raises(InputError, match="there is no such tracker; did you mean 'wandb'"):
        trackers.check(["wandbb"])
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(InputError, match=r"pip install 'zerolabel-vision\[wandb\]'"):
        trackers.check(["wandb"])


def test_tensorboard_reads_the_losses_back(tmp_path):
    pytest.importorskip("tensorboard", reason="the extra [tensorboard] is not installed")
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    trackers.check(["tensorboard"])
    assert list(trackers.tracked(LOGS, "train", ["tensorboard"], tmp_path)) == LOGS
    (file,) = (tmp_path / "tracking").rglob("events.*")
    found = [
        (event.step, value.tensor.float_val[0])
        for event in EventFileLoader(str(file)).Load()
        for value in event.summary.value
        if value.tag == "train/loss/partial"
    ]
    assert found == LOSS


def test_mlflow_reads_the_losses_back(tmp_path, monkeypatch):
    pytest.importorskip("mlflow.store.tracking.sqlalchemy_store", reason="the extra [mlflow] is not installed")
    from mlflow.tracking import MlflowClient

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    trackers.check(["mlflow"])
    assert list(trackers.tracked(LOGS, "train", ["mlflow"], tmp_path)) == LOGS
    client = MlflowClient(f"sqlite:///{tmp_path}/tracking/mlflow.db")
    experiment = client.get_experiment_by_name("zerolabel")
    (run,) = client.search_runs([experiment.experiment_id])
    history = client.get_metric_history(run.info.run_id, "train/loss/partial")
    assert [(one.step, one.value) for one in history] == LOSS
    assert run.info.status == "FINISHED"


def test_weights_and_biases_stay_offline(tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="the extra [wandb] is not installed")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    trackers.check(["wandb"])
    assert list(trackers.tracked(LOGS, "train", ["wandb"], tmp_path)) == LOGS
    (folder,) = (tmp_path / "tracking" / "wandb").glob("offline-run-*")
    assert next(iter(folder.glob("run-*.wandb"))).stat().st_size > 0
    summary = folder / "files" / "wandb-summary.json"
    assert not summary.is_file() or json.loads(summary.read_text())["train/loss/partial"] == 1.0
