"""The benchmark on the classical partial-label sets reads its files, keeps splits apart, and goes on where it was."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import scipy.sparse
import torch

from benchmarks import realworld_partial
from benchmarks.realworld_partial import SUPERVISED, Cell, Rows, annotate
from zerolabel.learners import LEARNERS
from zerolabel.training.settings import Settings

FOLDER = "PARTIAL_LABEL_DATA"  # names the folder of the real files


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """120 rows of 3 classes around centers, each with its class and often another one; two rows that are no use."""
    generator = np.random.default_rng(0)
    truth = np.arange(120) % 3
    target = np.eye(3)[truth]
    sets = np.maximum(target, generator.random((120, 3)) < 0.4)
    target[5], sets[7] = 0, 0
    data = generator.normal(size=(3, 6))[truth] * 3 + generator.normal(size=(120, 6))
    path = tmp_path / "lost.mat"
    columns = {"target": scipy.sparse.csc_matrix(target.T), "partial_target": scipy.sparse.csc_matrix(sets.T)}
    scipy.io.savemat(path, {"data": data, **columns})
    return path


def test_rows_without_truth_or_candidates_are_left_out(file: Path) -> None:
    rows = Rows.read(file)
    kept = [i for i in range(120) if i not in (5, 7)]
    assert rows.truth.tolist() == [i % 3 for i in kept] and rows.features.shape == (118, 6)
    assert bool(rows.candidates[torch.arange(118), rows.truth].all()) and rows.candidates.dtype == torch.bool


def test_splits_are_disjoint_and_differ(file: Path) -> None:
    rows = Rows.read(file)
    own, test = rows.split(0)
    assert len(own) == 94 and sorted([*own.tolist(), *test.tolist()]) == list(range(118))
    assert torch.equal(own, rows.split(0)[0]) and not torch.equal(own, rows.split(1)[0])


def test_annotations_hold_candidate_sets_and_nothing_else(file: Path) -> None:
    rows = Rows.read(file)
    annotations = annotate(rows.candidates, 0)
    assert torch.equal(annotations.candidates, rows.candidates) and not annotations.human.any()
    assert torch.equal(annotations.scores > 0, rows.candidates) and annotations.votes.shape == (118, 0)
    even = rows.candidates / rows.candidates.sum(1, keepdim=True)
    torch.testing.assert_close(annotations.scores, even, rtol=2e-3, atol=0)


def test_what_is_counted_in_epochs_shrinks_with_the_training() -> None:
    assert realworld_partial.options("dividemix", 25) == {"warm_up": 2, "ramp": 4}
    assert realworld_partial.options("coreg", 10) == {"warm_up": 5, "ramp": 2, "delay": 1, "queue": 1024}
    assert realworld_partial.options("solar", 100) == {"warm_up": 20, "queue": 1024}  # its ramp is a share
    assert realworld_partial.options("cc", 10) == {"view": "weak"}


def test_a_learner_of_one_label_takes_any_candidate(file: Path) -> None:
    rows = Rows.read(file)
    taken = annotate(rows.candidates, 0).scores.argmax(1)
    first = rows.candidates.int().argmax(1)
    ambiguous = rows.candidates.sum(1) == 2
    assert bool(rows.candidates[torch.arange(118), taken].all())
    assert 0.3 < float((taken == first)[ambiguous].float().mean()) < 0.7
    assert not torch.equal(taken, annotate(rows.candidates, 1).scores.argmax(1))


def test_a_finished_cell_is_read_and_not_run_again(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(realworld_partial, "WORK", tmp_path / "work")
    short = Settings(epochs=5, batch_size=20, lr=0.05, precision="float32", device="cpu")
    monkeypatch.setattr(realworld_partial, "SETTINGS", short)
    rows, cell = Rows.read(file), Cell("Lost", "linear", "proden", 0)
    found = cell.run(rows)
    assert found["accuracy"] > 0.8 and found["identified"] > 0.8 and found["seconds"] > 0
    cell.file.write_text(json.dumps({**found, "accuracy": 0.5}))
    assert cell.run(rows)["accuracy"] == 0.5
    assert Cell("Lost", "linear", SUPERVISED, 0).run(rows)["identified"] == 1


def test_every_learner_of_the_table_exists() -> None:
    assert set(realworld_partial.LEARNER_NAMES) <= set(LEARNERS)


@pytest.mark.parametrize(
    ("name", "shape", "classes"), [("Lost", (1122, 108), 16), ("MSRCv2", (1758, 48), 23), ("BirdSong", (4998, 38), 13)]
)
def test_the_real_sets(name: str, shape: tuple[int, int], classes: int) -> None:
    if FOLDER not in os.environ:
        pytest.skip(f"the environment variable {FOLDER} names no folder of the real files")
    rows = Rows.read(Path(os.environ[FOLDER]) / f"{realworld_partial.FILES[name]}.mat")
    assert tuple(rows.features.shape) == shape and rows.candidates.shape[1] == classes
    assert bool(rows.candidates[torch.arange(shape[0]), rows.truth].all())
