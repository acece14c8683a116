"""Tables of the simulated audits, from the committed result: a head and rows of texts."""

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "results" / "audits.json"

Row = dict[str, Any]
Table = tuple[list[str], list[list[str]]]


def result() -> dict[str, list[Row]]:
    """The committed figures by part."""
    return dict(json.loads(RESULTS.read_text(encoding="utf-8")))


def percent(value: float, digits: int = 1) -> str:
    return f"{100 * value:.{digits}f}"


def teach() -> Table:
    """Accuracy without labels, with random ones and with chosen ones."""
    body = []
    for row in result()["teach"]:
        texts = [percent(row[name][kind]) for kind in ("in_place", "spread") for name in ("none", "random", "chosen")]
        body.append([f"{row['cell']}, {row['model']}", str(row["labels"]), *texts])
    kinds = [f"{kind}, {name}" for kind in ("in place", "spread") for name in ("none", "random", "chosen")]
    return ["", "labels", *kinds], body


def unknown() -> Table:
    """Errors of the threshold for unknown classes."""
    names = ("error", "coverage", "width", "error_without_labels", "best_error")
    body = [[str(row["answers"]), *(percent(row[name]) for name in names)] for row in result()["unknown"]]
    return ["answers", "error", "coverage", "width of the interval", "threshold without labels", "best threshold"], body


TABLES = {"audit teach": teach, "audit unknown": unknown}
