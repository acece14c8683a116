"""Tables of the simulated audits, from the committed result: a head and rows of texts."""

import json
from collections.abc import Iterable
from pathlib import Path
from statistics import mean
from typing import Any

RESULTS = Path(__file__).parents[1] / "results" / "audits.json"
THIRD = 1 / 3
SHOWN = ("20", "50", "100", "400")
TITLES = {
    "model_picker": "Model Picker (default)",
    "weighted": "importance-weighted",
    "coda": "CODA",
    "random": "random",
}

Row = dict[str, Any]
Table = tuple[list[str], list[list[str]]]


def result() -> dict[str, list[Row]]:
    """The committed figures by part."""
    return dict(json.loads(RESULTS.read_text(encoding="utf-8")))


def percent(value: float, digits: int = 1) -> str:
    return f"{100 * value:.{digits}f}"


def grouped(rows: Iterable[Row], *keys: str) -> dict[tuple[Any, ...], list[Row]]:
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    return groups


def coverage() -> Table:
    """Least coverage and the width of a stratified audit as a share of a plain one's."""
    found = result()
    stopped = {(row["cell"], row["model"]): row for row in found["anytime"]}
    body = []
    for (cell, model), rows in grouped(found["coverage"], "cell", "model").items():
        ratio = {str(row["n"]): f"{row['ratio']:.2f}" for row in rows}
        least = [min(row[f"{kind}_coverage"] for row in rows) for kind in ("stratified", "plain")]
        every = stopped[cell, model]["coverage"]
        body.append(
            [f"{cell}, {model}", percent(rows[0]["accuracy"])]
            + [percent(value) for value in (*least, every)]
            + [ratio.get(n, "") for n in SHOWN]
        )
    head = ["", "accuracy", "least coverage", "plain", "at every look", *(f"width, n = {n}" for n in SHOWN)]
    return head, body


def pairs() -> Table:
    """Answers until one of two is shown to be better."""
    body = []
    for (cell,), rows in grouped(result()["pairs"], "cell").items():
        differing = percent(mean(row["differing"] for row in rows))
        answers = [mean(row["answers"][kind] for row in rows) for kind in ("differing", "random")]
        shares = [row["share"] for row in rows]
        used = [*(f"{value:.0f}" for value in answers), f"{answers[0] / answers[1]:.2f}"]
        alike = [row["share"] for row in rows if row["differing"] <= THIRD]
        thirds = [f"{sum(share <= THIRD for share in some)} of {len(some)}" for some in (shares, alike)]
        wrong = [percent(statistic(row["wrong"] for row in rows)) for statistic in (mean, max)]
        body.append([cell, str(len(rows)), differing, *used, *thirds, *wrong])
    head = ["", "pairs", "images that differ", "answers, differing", "answers, random", "share"]
    return [*head, "at most a third", "of pairs that differ on a third", "wrong", "wrong, worst pair"], body


def choice() -> Table:
    """Mean regret in points over the cells, after so many answers."""
    rows = result()["choice"]
    budgets = list(rows[0]["regret"])
    body = []
    for (design,), own in grouped(rows, "design").items():
        means = [mean(row["regret"][n] for row in own) if n in own[0]["regret"] else None for n in budgets]
        body.append([TITLES[design], *("" if value is None else percent(value, 2) for value in means)])
    return ["", *(f"{n} answers" for n in budgets)], body


def choice_by_cell() -> Table:
    """Regret in points after 50 answers in each cell."""
    rows = result()["choice"]
    designs = [design for (design,) in grouped(rows, "design")]
    body = []
    for (cell, models), own in grouped(rows, "cell", "models").items():
        by_design = {row["design"]: percent(row["regret"]["50"], 2) for row in own}
        body.append([cell, str(models), *(by_design[design] for design in designs)])
    return ["", "models", *(TITLES[design] for design in designs)], body


def quality() -> Table:
    """Share of images that a person labels, and how often the limit was exceeded."""
    body = []
    for (cell, model), rows in grouped(result()["quality"], "cell", "model").items():
        texts = [text for row in rows for text in (percent(row["human"]), percent(row["violated"]))]
        body.append([f"{cell}, {model}", percent(rows[0]["accuracy"]), *texts])
    head = ["", "accuracy", "by hand, 5%", "exceeded", "by hand, 10%", "exceeded"]
    return head, body


def teach() -> Table:
    """Accuracy without labels, with random ones and with chosen ones."""
    body = []
    for row in result()["teach"]:
        texts = [percent(row[name][kind]) for kind in ("in_place", "spread") for name in ("none", "random", "chosen")]
        body.append([f"{row['cell']}, {row['model']}", str(row["labels"]), *texts])
    kinds = [f"{kind}, {name}" for kind in ("in place", "spread") for name in ("none", "random", "chosen")]
    return ["", "labels", *kinds], body


def unknown() -> Table:
    """Errors of the threshold for unknown classes, over the draws of these classes; of the coverage the least."""
    found, body = result()["unknown"], []
    means = ("error", "width", "error_without_labels", "best_error")
    for cell, answers in dict.fromkeys((row["cell"], row["answers"]) for row in found):
        own = [row for row in found if (row["cell"], row["answers"]) == (cell, answers)]
        error, width, without, best = (percent(mean(row[name] for row in own)) for name in means)
        least, share = min(row["coverage"] for row in own), mean(row["unknown"] for row in own)
        body.append([cell, percent(share), str(answers), error, best, without, percent(least), width])
    head = ["", "unknown", "answers", "error", "best threshold", "threshold without labels"]
    return [*head, "least coverage", "width of the interval"], body


TABLES = {
    "audit coverage": coverage,
    "audit pairs": pairs,
    "audit choice": choice,
    "audit choice by cell": choice_by_cell,
    "audit quality": quality,
    "audit teach": teach,
    "audit unknown": unknown,
}
