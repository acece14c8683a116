"""Tensors in files: what is learned with them is what is learned in memory."""

import pytest
import torch

from zerolabel import networks
from zerolabel.annotations import Annotations
from zerolabel.annotations.digest import of_annotations
from zerolabel.data.views import Features
from zerolabel.files import rows
from zerolabel.learners import LEARNERS
from zerolabel.training.fitting import fit
from zerolabel.training.log import LogFile
from zerolabel.training.settings import Settings


def trained(world, path, name="coreg", **options):
    path.mkdir()
    world.annotations.save(path / "annotations.parquet")
    annotations = Annotations.load(path / "annotations.parquet")
    torch.manual_seed(0)
    network = networks.build("mlp", len(annotations.classes), world.features.shape[1])
    learner = LEARNERS[name](network, annotations, **options)
    settings = Settings(epochs=3, batch_size=16, device="cpu", precision="float32")
    made = fit(learner, annotations, Features(world.features), settings, None, LogFile(path / "log", "t"), path / "c")
    return annotations, learner, made


@pytest.mark.parametrize("options", [{"alignment": "whole"}, {"alignment": "running", "prior": "estimated"}])
def test_the_same_bits(make_world, tmp_path, monkeypatch, options):
    world = make_world()
    options = {"warm_up": 1, "delay": 0, **options}
    annotations, learner, made = trained(world, tmp_path / "memory", **options)
    monkeypatch.setattr(rows, "LARGE", 1)
    monkeypatch.setattr(rows, "AT_ONCE", len(annotations) if options["alignment"] == "running" else 7)
    others, other, remade = trained(world, tmp_path / "files", **options)
    assert of_annotations(others) == of_annotations(annotations)
    assert rows.is_large(other.scores) and all(map(rows.is_large, remade.log_probabilities))
    for name, value in learner.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name
    for one, same in zip(made.log_probabilities, remade.log_probabilities, strict=True):
        assert torch.equal(one, same)


def test_rows(monkeypatch):
    x, index = torch.randn(20, 3), torch.randint(20, (50,))
    monkeypatch.setattr(rows, "LARGE", 64)
    monkeypatch.setattr(rows, "AT_ONCE", 7)
    found = rows.copy(x)
    assert torch.equal(found, x) and found.data_ptr() != x.data_ptr()
    assert torch.equal(rows.select(x, index), x[index])
    assert torch.equal(rows.each(lambda a, b: (a + b).sum(1), x, x), (x + x).sum(1))
    assert torch.equal(rows.spaced(x), x[::4]) and rows.spaced(x[:2]) is not None
    assert not rows.zeros((20, 3), torch.bool).any()
    assert rows.zeros((0, 3)).shape == (0, 3)


def test_a_full_disk_is_an_error_before_it_is_written_to(monkeypatch):
    monkeypatch.setattr(rows.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 10}))
    monkeypatch.setattr(rows, "LARGE", 64)
    with pytest.raises(OSError, match="No space left"):
        rows.zeros((20, 3))
