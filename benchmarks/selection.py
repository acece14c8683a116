"""What choosing a learner without labels costs, and what the alarms see: ``python -m benchmarks.selection``.

Reads the runs of ``benchmarks/results/comparison.json``. A criterion's regret in a cell is the accuracy of the best
learner less that of the learner the criterion puts first, both means over seeds; cells whose learners have options of
their own are left out. The default is the criterion with the smallest mean regret; "always coreg" is what it costs to
choose nothing. A learner is below its annotator in a cell where its mean accuracy on the pool is, far below
where it is by more than ten points; it is alarmed where at least half of its runs are. The tables go to the screen and
to ``benchmarks/results/selection.json``.
"""

import json
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from zerolabel.diagnostics import model_selection
from zerolabel.report.compared import CRITERIA

COMPARISON = Path("benchmarks/results/comparison.json")
RESULTS = Path("benchmarks/results/selection.json")
ALWAYS = "coreg"
NEAR = 0.015
FAR = 0.1


def regrets(runs: pd.DataFrame) -> dict[str, float]:
    """The regret of each criterion that every learner of a cell has."""
    means = runs.groupby("learner").mean(numeric_only=True)
    here = [name for name in CRITERIA if name in means and means[name].notna().all()]
    chosen = {name: model_selection.ranked({str(k): float(v) for k, v in means[name].items()})[0] for name in here}
    chosen[f"always {ALWAYS}"] = ALWAYS
    best = means["accuracy"].max()
    return {
        name: float(best - means["accuracy"][learner]) for name, learner in chosen.items() if learner in means.index
    }


def summarize(cells: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Mean regret, share of cells within 1.5 points of the best, and number of cells, by criterion."""
    table = pd.DataFrame.from_dict(cells, orient="index")
    return {
        str(name): {
            "mean_regret": float(values.mean()),
            "worst_regret": float(values.max()),
            "share_near": float((values <= NEAR + 1e-9).mean()),
            "cells": len(values),
        }
        for name, values in ((name, column.dropna()) for name, column in table.items())
    }


def alarms(runs: pd.DataFrame, annotator: float) -> dict[str, list[str]]:
    """Learners of a cell by whether they end below the annotator and whether they are alarmed."""
    raised = runs["alarms"].ne("").groupby(runs["learner"]).mean() >= 0.5
    accuracy = runs.groupby("learner")["pool_accuracy"].mean()
    below, far = accuracy < annotator, accuracy < annotator - FAR
    groups = {"far below": far, "below": below & ~far, "not below": ~below}
    return {
        f"{group}, {kind}": list(raised.index[within & seen])
        for group, within in groups.items()
        for kind, seen in (("alarmed", raised), ("not alarmed", ~raised))
    }


def table_of_regret(found: dict[str, dict[str, float]]) -> Table:
    """The criteria, the cheapest first."""
    shown = Table("criterion", "mean regret", "worst", "cells within 1.5 points", "cells")
    for name, row in sorted(found.items(), key=lambda item: item[1]["mean_regret"]):
        share = f"{row['share_near']:.0%}"
        shown.add_row(
            name, f"{100 * row['mean_regret']:.2f}", f"{100 * row['worst_regret']:.2f}", share, str(int(row["cells"]))
        )
    return shown


def table_of_alarms(found: dict[str, dict[str, list[str]]]) -> Table:
    """How many learners of each cell are what."""
    kinds = list(next(iter(found.values())))
    shown = Table("cell", *kinds)
    for cell, groups in found.items():
        shown.add_row(cell, *(str(len(groups[kind])) for kind in kinds))
    return shown


def main() -> None:
    """Read all cells, and write the tables."""
    if not COMPARISON.is_file():
        raise SystemExit(f"{COMPARISON} is not there; run python -m benchmarks.comparison.")
    read = json.loads(COMPARISON.read_text(encoding="utf-8"))
    compared: dict[str, Any] = read["cells"]
    runs = {name: pd.DataFrame(cell["runs"]) for name, cell in compared.items()}
    cells = {name: regrets(table) for name, table in runs.items() if not read["settings"][name]["options"]}
    warned = {name: alarms(table, compared[name]["annotator_pool_accuracy"]) for name, table in runs.items()}
    found = summarize(cells)
    RESULTS.write_text(json.dumps({"criteria": found, "regret": cells, "alarms": warned}, indent=1) + "\n")
    Console().print(table_of_regret(found), table_of_alarms(warned))


if __name__ == "__main__":
    main()
