"""A benchmark that runs a part of its cells keeps the committed figures of the others, and only of the same images."""

import json
from pathlib import Path

from benchmarks import committed
from benchmarks.comparison import joined


def test_rows_that_are_measured_again_take_the_place_of_the_old_ones() -> None:
    old = [{"learner": "cc", "seed": 0, "x": 1}, {"learner": "rc", "seed": 0, "x": 2}]
    new = [{"learner": "rc", "seed": 0, "x": 3}, {"learner": "rc", "seed": 1, "x": 4}]
    assert committed.renew(old, new, ("learner", "seed")) == [old[0], *new]


def test_a_result_is_replaced_unless_it_is_asked_to_stay(tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    assert committed.read(file, add=True) == {}
    file.write_text(json.dumps({"cells": [1]}))
    assert committed.read(file, add=True) == {"cells": [1]} and committed.read(file, add=False) == {}


def test_a_cell_keeps_runs_of_the_same_annotations_alone() -> None:
    def cell(accuracy: float, learner: str) -> dict[str, object]:
        frame = {"annotator_pool_accuracy": accuracy, "candidate_coverage": 0.9}
        return {**frame, "runs": [{"learner": learner, "seed": 0}]}

    both = joined(cell(0.6, "cc"), cell(0.6, "rc"))
    assert both is not None and [run["learner"] for run in both["runs"]] == ["cc", "rc"]
    assert joined(cell(0.5, "cc"), cell(0.6, "rc")) == cell(0.6, "rc")
    assert joined(cell(0.5, "cc"), None) == cell(0.5, "cc") and joined({}, None) is None
