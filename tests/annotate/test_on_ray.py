"""A real Ray on this machine, with two workers; started once, since that takes seconds."""

import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from tests.local_ray import two_workers
from zerolabel import vlms
from zerolabel.annotate import annotate
from zerolabel.annotations import Annotations
from zerolabel.cli import main
from zerolabel.data.classes import Classes
from zerolabel.data.images import ImageSet
from zerolabel.data.images.stores import Files
from zerolabel.errors import InputError

ray = pytest.importorskip("ray", reason="needs zerolabel-vision[ray]")
DIGITS = Classes(tuple("0123456789"))
TEMPLATES = ("{}", "a handwritten {}")
N = 80


@pytest.fixture(scope="module")
def encoder():
    return vlms.load("glyphs")


@pytest.fixture(scope="module")
def workers():
    with two_workers(sys.modules[__name__]):
        yield


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Digits in `images`, relative to where the process is; one file is damaged. Ranges are of 16."""
    (tmp_path / "images").mkdir()
    for i, digit in enumerate(load_digits().images[:N]):
        Image.fromarray((digit * 15.9).astype(np.uint8)).save(tmp_path / "images" / f"{i:03}.png")
    (tmp_path / "images" / "017.png").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("zerolabel.annotate.feature_cache.SHARD", 16)
    return tmp_path


def same(one, other):
    assert torch.equal(one.votes, other.votes) and torch.equal(one.candidates, other.candidates)
    assert torch.allclose(one.scores, other.scores, atol=1e-5)
    assert torch.equal(one.sizes, other.sizes)
    assert (one.file_names, one.sha256, one.annotators) == (other.file_names, other.sha256, other.annotators)


def test_without_a_cluster_at_the_address(encoder, folder):
    assert not ray.is_initialized()
    with pytest.raises(InputError, match=r"--ray-address 127\.0\.0\.1:1: there is no Ray cluster"):
        annotate(ImageSet.open("images"), encoder, DIGITS, TEMPLATES, engine="ray:127.0.0.1:1", out="no")


def test_two_workers_write_the_rows_of_the_local_engine(workers, encoder, folder):
    images, steps = ImageSet.open("images"), []
    here = annotate(images, encoder, DIGITS, TEMPLATES, out="here")
    there = annotate(
        images, encoder, DIGITS, TEMPLATES, out="there", engine="ray",
        progress=lambda iterator: (steps.append(step) or step for step in iterator),
    )  # fmt: skip
    same(here.annotations, there.annotations)
    assert there.skipped == here.skipped == (("017.png", "the file is empty"),)
    assert torch.allclose(here.features, there.features, atol=1e-6)
    assert len(steps) == 5 and (steps[-1].done, steps[-1].skipped, steps[-1].cached) == (N, 1, 0)
    assert not Path("there/annotations.parts").exists()


@dataclass(frozen=True)
class Deadly(Files):
    """Kills the process that reads the image of a name, the first time."""

    name: str
    mark: str

    def read(self, row, name):
        if name == self.name and not Path(self.mark).exists():
            Path(self.mark).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().read(row, name)


def test_a_worker_that_is_killed_halfway_loses_and_doubles_nothing(workers, encoder, folder):
    images = ImageSet.open("images")
    here = annotate(images, encoder, DIGITS, TEMPLATES, out="here")
    deadly = Deadly(str(folder / "images"), "040.png", str(folder / "killed"))
    there = annotate(
        ImageSet(images.root, images.file_names, deadly), encoder, DIGITS, TEMPLATES, out="there", engine="ray"
    )
    assert (folder / "killed").exists(), "no worker was killed, so this test shows little"
    same(here.annotations, there.annotations)
    assert there.skipped == here.skipped


def test_the_command(workers, folder, capsys):
    asked = ["annotate", "images", "--classes", ",".join(DIGITS.names), "--vlm", "glyphs", "--cache", "cache"]
    main([*asked, "-o", "there", "--engine", "ray"])
    main([*asked, "-o", "here"])
    said = capsys.readouterr()
    assert "017.png" in (folder / "there" / "skipped.csv").read_text(), said
    same(Annotations.load("here/annotations.parquet"), Annotations.load("there/annotations.parquet"))
