"""What choosing without labels costs, and which learners below their annotator are alarmed, on tables made by hand."""

import pandas as pd
import pytest

from benchmarks.selection import alarms, regrets, summarize


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
    assert found["ranked"] == found["always coreg"] == pytest.approx(0.10)  # nobody is ten points ahead


def test_another_learner_is_first_where_it_is_believed_far_more() -> None:
    table = runs({"coreg": (0.50, 0.55, 0.5), "pico": (0.65, 0.75, 0.7)})
    assert regrets(table)["ranked"] == 0 and regrets(table)["always coreg"] == pytest.approx(0.20)


def test_a_criterion_that_a_learner_lacks_is_left_out() -> None:
    table = runs({"coreg": (0.6, 0.7, 0.7), "cc": (0.6, 0.7, 0.7)})
    table["network_agreement"] = table["learner"].map({"coreg": 0.9})
    assert set(regrets(table)) == {"believed_accuracy", "ranked", "always coreg"}


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
