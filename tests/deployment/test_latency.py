import os

import pytest

from zerolabel import vlms
from zerolabel.data.views import Preprocess
from zerolabel.deployment import latency
from zerolabel.deployment.classifier import Classifier
from zerolabel.deployment.export import export
from zerolabel.networks import build


@pytest.fixture
def places(monkeypatch):
    """Batch and threads of each figure, on a machine of two cores."""
    monkeypatch.setattr(latency, "SECONDS", 0.01)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    return [(1, 1), (32, 1), (1, 2), (32, 2)]


@pytest.mark.parametrize("layout", ["uint8", "nchw"])
def test_a_file_is_timed_alone_and_in_batches_on_one_thread_and_on_all(places, layout, tmp_path):
    classifier = Classifier((build("light", 3, 16),), ("a", "b", "c"), Preprocess(16, (0.5,) * 3, (0.2,) * 3))
    export(classifier, tmp_path / "c.onnx", layout=layout)
    found = latency.of_file(tmp_path / "c.onnx", 20, 30)
    assert [(one.batch, one.threads) for one in found] == places
    assert all(one.model == "classifier" and (one.milliseconds or 1) > 0 for one in found)
    assert all(one.milliseconds is not None for one in found if one.batch == 1)


def test_an_annotator_is_timed_and_long_batches_are_left_out(places, monkeypatch):
    encoder = vlms.load("glyphs")
    monkeypatch.setattr(latency, "_median", lambda act: act() is None or 0.0001)
    assert [one.milliseconds for one in latency.of_encoder(encoder)] == [0.1, 0.1 / 32, 0.1, 0.1 / 32]
    monkeypatch.setattr(latency, "_median", lambda act: act() is None or 0.5)
    assert [(one.batch, one.milliseconds) for one in latency.of_encoder(encoder)] == [
        *((1, 500.0), (32, None), (1, 500.0), (32, None)),
    ]  # fmt: skip
