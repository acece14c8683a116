"""One export after another in one process keeps nothing of those before it."""

import gc
import linecache
import logging

import pytest
import torch
from matrix import quick
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from zerolabel.data.views import Preprocess
from zerolabel.deployment.classifier import Classifier
from zerolabel.deployment.graph import graph
from zerolabel.networks import build

SIZES = {"uint8": 16, "nchw": 24, "embeddings": 12}


def held() -> tuple[int, int, int]:
    """Descriptions of shapes, sources of compiled graphs, and all objects that Python's collector knows."""
    gc.collect()
    objects = gc.get_objects()
    sources = sum(name.startswith("<eval_with_key>") for name in linecache.cache)
    return sum(type(one) is ShapeEnv for one in objects), sources, len(objects)


@pytest.fixture
def unlogged(monkeypatch):
    """Without the records of torch's trace log, which no level turns off and pytest keeps until a test ends."""
    monkeypatch.setattr(logging.getLogger("torch.__trace"), "handle", lambda record: None)


@pytest.mark.usefixtures("unlogged")
@pytest.mark.parametrize("layout", quick(("uint8",), SIZES))
def test_exports_leave_nothing_behind(layout):
    size = SIZES[layout]
    preprocess = None if layout == "embeddings" else Preprocess(size, (0.5, 0.4, 0.3), (0.2, 0.3, 0.25))
    network = build("mlp" if layout == "embeddings" else "light", 4, size)
    classifier = Classifier((network,), ("a", "b", "c", "d"), preprocess)
    found = []
    for _ in range(4):
        torch.manual_seed(0)
        graph(classifier, layout)
        found.append(held())
    assert found[-1][:2] == found[1][:2]  # onnxscript and torch refer to the newest one
    assert found[-1][2] - found[1][2] < 100  # one export makes more than 30,000
