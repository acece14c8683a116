"""Simulated audits: what they count, on small made-up models."""

import numpy as np
import pytest

from benchmarks.audits import measures
from benchmarks.audits.cells import Cell
from benchmarks.audits.measures import decide
from benchmarks.audits.open_pools import OpenPool
from zerolabel.audit import Counts, interval


@pytest.fixture
def cell() -> Cell:
    """Three models on 300 images of three classes, which differ in how often they are right."""
    random = np.random.default_rng(0)
    truth = random.integers(0, 3, 300)
    hard = random.random(300)
    scores = np.full((3, 300, 3), 0.1, dtype=np.float32)
    for h, accuracy in enumerate((0.6, 0.9, 0.75)):
        predicted = np.where(hard + 0.2 * random.random(300) < accuracy + 0.1, truth, (truth + 1) % 3)
        scores[h, np.arange(300), predicted] = 0.9 - 0.3 * hard
    return Cell("made up", ("a", "b", "c"), scores, truth, np.eye(3)[truth].astype(np.float32) + 0.01)


def test_coverage_is_that_of_the_intervals(cell: Cell) -> None:
    right, sizes = np.array([40, 90]), np.array([100, 100])
    for correct in ([4, 18], [8, 18], [13, 19], [1, 12], [16, 20]):
        counts = Counts(sizes, np.array([20, 20]), np.array(correct))
        found = interval(counts)
        assert measures.covers(counts, right, 0.05) == (found.low <= 0.65 <= found.high)
    (row,) = measures.coverage(cell, 1, (50, 400), 60)
    assert row["stratified_coverage"] > 0.9 and row["n"] == 50 and 0.3 < row["ratio"] < 1.2


def test_anytime_coverage_counts_every_look(cell: Cell) -> None:
    row = measures.anytime_coverage(cell, 0, 100, 40)
    assert row["coverage"] > 0.9 and row["looks"] == 6 and row["width_of_fixed"] > 1


def test_a_decision_is_where_the_test_ends() -> None:
    assert decide(np.array([1] * 30), 30) == (7, 1)
    assert decide(np.array([-1, 0, 1, -1]), 4) == (4, -1)
    assert decide(np.zeros(3, dtype=int), 3) == (3, 0)


def test_pairs_need_fewer_answers_where_they_differ(cell: Cell) -> None:
    row = measures.pair(cell, 0, 1, 20)
    assert row["wrong"] <= 0.05 and row["answers"]["differing"] < row["answers"]["random"]
    assert row["differing"] == (cell.predicted[0] != cell.predicted[1]).mean()


def test_regret_falls_and_guarantees_hold(cell: Cell) -> None:
    row = measures.regret_curve(cell, "weighted", (2, 40), 5, 200)
    assert 0 <= row["regret"]["40"] <= row["regret"]["2"] and row["models"] == 3
    row = measures.guaranteed(cell, 0, 0.1, 100, 40)
    assert row["violated"] <= 0.1 and 1 / 3 <= row["human"] <= 1


def test_labels_raise_the_accuracy(cell: Cell) -> None:
    row = measures.taught(cell, 0, 30, 2)
    assert row["none"]["in_place"] < min(row["random"]["in_place"], row["chosen"]["in_place"])


def test_a_threshold_is_measured() -> None:
    random = np.random.default_rng(1)
    unknown = random.random(400) < 0.2
    scores = np.where(unknown, random.random(400), 0.5 + random.random(400))
    row = measures.rejected(OpenPool("made up", 0, scores, unknown), 60, 5)
    assert row["best_error"] <= row["error"] <= 0.25 and row["coverage"] >= 0.8
