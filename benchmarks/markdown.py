"""Tables of the documentation, written from ``benchmarks/results``: ``python -m benchmarks.markdown``.

A table stands between ``<!-- NAME: written by python -m benchmarks.markdown -->`` and ``<!-- end of NAME -->``. A test
holds the pages against the results.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from statistics import mean, stdev

import pandas as pd

from benchmarks import (
    adapted_tables,
    comparison,
    devices,
    exports,
    forecasts,
    improve,
    memory,
    realworld_partial,
    selection,
)
from benchmarks.audits import tables
from benchmarks.real_vlm import tables as real
from zerolabel.diagnostics.model_selection import DEFAULT
from zerolabel.report.compared import CRITERIA

ROOT = Path(__file__).parents[1]
CELLS = (*comparison.MAIN, "cifar10n", "grid q=0.1 eta=0.2", "grid q=0.3 eta=0", "grid q=0.3 eta=0.4")


def figure(values: list[float]) -> str:
    """Mean and standard deviation in per cent, nothing where there is no value."""
    return f"{100 * mean(values):.1f} ± {100 * stdev(values):.1f}" if values else ""


def lines(head: list[str], body: list[list[str]]) -> list[str]:
    """A table."""
    rule = "|" + "---|" * len(head)
    texts = [" | ".join(row) for row in (head, *body)]
    return [f"| {texts[0]} |", rule, *(f"| {text} |" for text in texts[1:])]


def compared() -> list[str]:
    """Held-out accuracy of every learner, the best mean of the cells that all share first."""
    found = json.loads((ROOT / comparison.RESULTS).read_text(encoding="utf-8"))["cells"]
    cells = {name: found[name] for name in CELLS}
    frame = [
        [f"*{title}*", *(f"{100 * cell[key]:.1f}" for cell in cells.values())]
        for title, key in comparison.FRAME.items()
    ]
    body = []
    for learner in comparison.means(cells).index:
        runs = [[run["accuracy"] for run in cell["runs"] if run["learner"] == learner] for cell in cells.values()]
        body.append([f"`{learner}`", *(figure(one) for one in runs)])
    return lines(["", *(name.removeprefix("grid ") for name in cells)], frame + body)


def on_classical_sets() -> list[str]:
    """Test accuracy of every learner on the classical partial-label sets, the best mean first."""
    found = pd.DataFrame(json.loads((ROOT / realworld_partial.RESULTS).read_text(encoding="utf-8"))["cells"])
    columns = [(data, network) for data in realworld_partial.FILES for network in realworld_partial.NETWORKS]
    accuracy = found.groupby(["learner", "data", "network"])["accuracy"].agg(list)
    table = accuracy.map(mean).unstack(["data", "network"]).mean(axis=1).sort_values(ascending=False)
    names = [name for name in table.index if name != realworld_partial.SUPERVISED]
    body = []
    for learner in (realworld_partial.SUPERVISED, *names):
        title = "*true labels instead*" if learner == realworld_partial.SUPERVISED else f"`{learner}`"
        body.append([title, *(figure(accuracy.get((learner, *column), [])) for column in columns)])
    return lines(["", *(f"{data}, {network}" for data, network in columns)], body)


def regrets() -> list[str]:
    """What choosing by each criterion costs, the cheapest first."""
    found = json.loads((ROOT / selection.RESULTS).read_text(encoding="utf-8"))["criteria"]
    body = []
    for name, row in sorted(found.items(), key=lambda item: item[1]["mean_regret"]):
        title = CRITERIA.get(name, name) + (" (default)" if name == DEFAULT else "")
        figures = (f"{100 * row[key]:.1f}" for key in ("mean_regret", "worst_regret"))
        body.append([title, *figures, f"{round(row['share_near'] * row['cells'])} of {row['cells']}"])
    return lines(["criterion", "mean regret", "worst", "cells within 1.5 points"], body)


TABLES: dict[str, tuple[str, Callable[[], list[str]]]] = {
    "comparison": ("docs/compare.md", compared),
    "regret without labels": ("docs/compare.md", regrets),
    "classical sets": ("docs/papers.md", on_classical_sets),
    **{name: ("docs/audits.md", lambda table=table: lines(*table())) for name, table in tables.TABLES.items()},
    **{
        name: ("docs/adapting.md", lambda table=table: lines(*table())) for name, table in adapted_tables.TABLES.items()
    },
    "improve": ("docs/audits.md", lambda: lines(*improve.table())),
    "exports": ("docs/your-own-images.md", lambda: lines(*exports.table())),
    "memory": ("docs/benchmarks.md", lambda: lines(*memory.table())),
    "devices": ("docs/cluster.md", lambda: lines(*devices.table())),
    "forecasts": ("docs/benchmarks.md", lambda: lines(*forecasts.table())),
    "real photographs": ("README.md", real.main_rows),
    "real solvers": ("docs/transduction.md", real.solvers),
    "real prompts": ("docs/real-outputs.md", real.zero_shot),
    "real candidate sets": ("docs/real-outputs.md", real.candidate_rules),
    "real label models": ("docs/real-outputs.md", real.label_models),
    "real comparable confidences": ("docs/real-outputs.md", real.comparable),
    "real estimates": ("docs/real-outputs.md", real.label_free),
    "real heads": ("docs/real-outputs.md", real.on_features),
    "real few images": ("docs/real-outputs.md", real.few_images),
    "real other data": ("docs/real-outputs.md", real.other_data),
    "real second encoder": ("docs/embeddings.md", real.second_encoder),
}


def renewed(text: str, name: str, table: list[str]) -> str:
    """A page with a table in its place.

    Raises:
        ValueError: the page has no such place.
    """
    start, end = f"<!-- {name}: written by python -m benchmarks.markdown -->", f"<!-- end of {name} -->"
    place = re.compile(re.escape(start) + ".*?" + re.escape(end), re.DOTALL)
    if not place.search(text):
        raise ValueError(f"the page has no place for '{name}': {start} ... {end}")
    return place.sub(lambda _: "\n".join([start, "", *table, "", end]), text)


def main() -> None:
    """Write all tables."""
    for name, (page, table) in TABLES.items():
        text = (ROOT / page).read_text(encoding="utf-8")
        (ROOT / page).write_text(renewed(text, name, table()), encoding="utf-8")


if __name__ == "__main__":
    main()
