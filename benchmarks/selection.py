"""What choosing a learner without labels costs: ``python -m benchmarks.selection``.

Reads every ``results.parquet`` that `zerolabel compare` left under ``build/benchmarks`` with truth, a cell each. A
criterion's regret in a cell is the accuracy of the best learner less that of the learner the criterion puts first,
both means over seeds. The table goes to the screen and to ``benchmarks/results/selection.json``.
"""

import json
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from zerolabel.comparison import ANNOTATOR
from zerolabel.report.compared import CRITERIA

WORK = Path("build/benchmarks")
RESULTS = Path("benchmarks/results/selection.json")
NEAR = 0.015


def regrets(runs: pd.DataFrame) -> dict[str, float]:
    """The regret of each criterion that every learner of a cell has."""
    means = runs[runs["learner"] != ANNOTATOR].groupby("learner").mean(numeric_only=True)
    here = [name for name in CRITERIA if name in means and means[name].notna().all()]
    best = means["accuracy"].max()
    return {name: float(best - means["accuracy"][means[name].idxmax()]) for name in here}


def summarise(cells: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Mean regret, share of cells within 1.5 points of the best, and number of cells, by criterion."""
    table = pd.DataFrame.from_dict(cells, orient="index")
    return {
        str(name): {
            "mean_regret": float(values.mean()),
            "share_near": float((values <= NEAR + 1e-9).mean()),
            "cells": len(values),
        }
        for name, values in ((name, column.dropna()) for name, column in table.items())
    }


def main() -> None:
    """Read all cells, and write the table."""
    read = {str(file.parent.relative_to(WORK)): pd.read_parquet(file) for file in sorted(WORK.rglob("results.parquet"))}
    cells = {name: regrets(runs) for name, runs in read.items() if "accuracy" in runs}
    if not cells:
        raise SystemExit(f"no comparison with truth lies under {WORK}; run `zerolabel compare ... -o {WORK}/NAME`.")
    found = summarise(cells)
    RESULTS.write_text(json.dumps({"criteria": found, "regret": cells}, indent=1) + "\n")
    shown = Table("criterion", "mean regret", "cells within 1.5 points", "cells")
    for name, row in sorted(found.items(), key=lambda item: item[1]["mean_regret"]):
        shown.add_row(name, f"{100 * row['mean_regret']:.2f}", f"{row['share_near']:.0%}", str(int(row["cells"])))
    Console().print(shown)


if __name__ == "__main__":
    main()
