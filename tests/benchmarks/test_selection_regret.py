"""What choosing without labels costs, and which learners below their annotator are alarmed, on tables made by hand."""

import json

import pandas as pd
import pytest

from benchmarks.selection import RESULTS, alarms, regrets, summarize
from zerolabel.diagnostics import model_selection


def runs(rows: dict[str, tuple[float, float, float]]) -> pd.DataFrame:
    """Two seeds of each learner, a point apart; believed, held-out and pool accuracy."""
    return pd.DataFrame(
        [
            {
                "learner": name,
                "seed": seed,
                "believed_accuracy": believed + seed / 100,
                "accuracy": accuracy + seed / 100,
                "pool_accuracy": pool + seed / 100,
                "alarms": "",
            }
            for name, (believed, accuracy, pool) in rows.items()
            for seed in (0, 1)
        ]
    )


def test_regret_is_the_best_less_the_chosen() -> None:
    table = runs({"coreg": (0.60, 0.70, 0.7), "pico": (0.65, 0.75, 0.7), "cc": (0.62, 0.80, 0.7)})
    found = regrets(table)
    assert found["believed_accuracy"] == pytest.approx(0.05)  # pico is believed most, cc is best
    assert found["always coreg"] == pytest.approx(0.10)


def test_the_package_states_the_committed_regrets_and_orders_by_the_smallest() -> None:
    found = json.loads(RESULTS.read_text(encoding="utf-8"))
    known = {name: row for name, row in found["criteria"].items() if name in model_selection.REGRETS}
    assert {name: round(row["mean_regret"], 3) for name, row in known.items()} == model_selection.REGRETS
    assert min(known, key=lambda name: known[name]["mean_regret"]) == model_selection.DEFAULT
    assert round(known[model_selection.DEFAULT]["worst_regret"], 3) == model_selection.WORST
    assert {row["cells"] for row in known.values()} == {model_selection.CELLS}


def test_a_criterion_that_a_learner_lacks_is_left_out() -> None:
    table = runs({"coreg": (0.6, 0.7, 0.7), "cc": (0.6, 0.7, 0.7)})
    table["network_agreement"] = table["learner"].map({"coreg": 0.9})
    assert set(regrets(table)) == {"believed_accuracy", "always coreg"}


def test_the_summary_counts_cells_within_a_point_and_a_half() -> None:
    found = summarize({"a": {"x": 0.015, "y": 0.3}, "b": {"x": 0.045}})
    assert found["x"] == {"mean_regret": 0.03, "worst_regret": 0.045, "share_near": 0.5, "cells": 2}
    assert found["y"]["cells"] == 1 and found["y"]["share_near"] == 0


def test_learners_are_grouped_by_distance_and_alarm() -> None:
    at = {"far": 0.48, "seen": 0.38, "near": 0.57, "even": 0.595, "above": 0.7}
    table = runs({name: (0.5, 0.5, pool) for name, pool in at.items()})
    one_of_two = (table["learner"].isin(["far", "above"])) & (table["seed"] == 0)
    table.loc[one_of_two | (table["learner"] == "seen"), "alarms"] = "collapse"
    groups = alarms(table, annotator=0.6)
    assert groups["far below, alarmed"] == ["far", "seen"] and groups["far below, not alarmed"] == []
    assert groups["below, alarmed"] == [] and groups["below, not alarmed"] == ["near"]
    assert groups["not below, alarmed"] == ["above"] and groups["not below, not alarmed"] == ["even"]
