"""Tables of the documentation about outputs of real models, from ``benchmarks/results/real_vlm.json``."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import mean
from typing import Any

RESULTS = Path(__file__).parents[1] / "results" / "real_vlm.json"
DATA = ("pets-25", "caltech-67", "caltech-34")
MODELS = ("mean scores", "majority", "one_coin", "dawid_skene", "shrunken")


def rows(part: str) -> list[dict[str, Any]]:
    """The rows of a part; none where it was not measured."""
    return list(json.loads(RESULTS.read_text(encoding="utf-8")).get(part, []))


def table(head: Iterable[str], body: Iterable[Iterable[str]]) -> list[str]:
    """Lines of a table."""
    texts = [" | ".join(row) for row in (head, *body)]
    return [f"| {texts[0]} |", "|" + "---|" * len(texts[0].split(" | ")), *(f"| {text} |" for text in texts[1:])]


def crossed(
    part: str, row: str, value: Callable[[dict[str, Any]], str], columns: Iterable[str] = DATA, left: str = ""
) -> list[str]:
    """A table of a part with one column per data set."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for one in rows(part):
        if one["data"] in columns:
            found[one[row]][one["data"]] = value(one)
    return table((left, *columns), ((name, *(cells.get(c, "") for c in columns)) for name, cells in found.items()))


def percent(value: float) -> str:
    """With one digit."""
    return f"{100 * value:.1f}"


def zero_shot() -> list[str]:
    """Prompts, their mean and their weighted mean."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for one in rows("zero_shot"):
        name = "best prompt" if one["row"].startswith("prompt ") else one["row"]
        before = found[name].get(one["data"], "0")
        found[name][one["data"]] = max(before, percent(one["accuracy"]), key=float)
    return table(("top-1", *DATA), ((name, *(cells[c] for c in DATA)) for name, cells in found.items()))


def solvers() -> list[str]:
    """Solvers, on the weighted prompts."""
    return crossed("solvers", "solver", lambda one: percent(one["accuracy"]) if "accuracy" in one else "refuses")


def candidate_rules() -> list[str]:
    """Coverage and mean size of candidate sets."""
    data = (*DATA[:2], "artdl, all 19 models")
    return crossed("candidate_rules", "rule", lambda one: f"{percent(one['coverage'])} ({one['size']:.2f})", data)


def label_models() -> list[str]:
    """Label models on paintings."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for one in rows("label_models"):
        if one["data"].startswith("artdl, "):
            found[one["data"].removeprefix("artdl, ")][one["model"]] = percent(one["accuracy"])
    return table(("annotators", *MODELS), ((name, *(cells[m] for m in MODELS)) for name, cells in found.items()))


def comparable() -> list[str]:
    """Mean scores of models as stated and with comparable confidences, on paintings."""
    found = (
        (one["data"].removeprefix("artdl, "), percent(one["stated"]), percent(one["comparable"]))
        for one in rows("comparable")
    )
    return table(("annotators", "mean of the stated scores", "mean of the comparable scores"), found)


def label_free() -> list[str]:
    """Estimated share of wrong labels beside the truth."""
    body = []
    for one in rows("label_free"):
        if one["what"] == "labels" and one["rule"] == "union":
            span = f"{percent(one['low'])} to {percent(one['high'])}" if one["known"] else "not known"
            body.append((one["data"], percent(one["estimate"]), span, percent(one["true"])))
    return table(("annotations", "estimated wrong labels", "interval", "measured"), body)


def few_images() -> list[str]:
    """Heads on few images of each class, on new images."""
    found: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
    for one in rows("few_images"):
        how = [text for name, text in SHOWN.items() if one.get(name) is not None]
        found[one["data"], one["per_class"], ", ".join(how) or "default"].append(one)
    body = []
    for (data, count, how), runs in found.items():
        figures = (percent(mean(run[key] for run in runs)) for key in ("zero_shot", "accuracy", "pool_accuracy"))
        body.append((data, str(count), how, *figures, str(len(runs))))
    return table(("data", "images per class", "head", "zero-shot, new images", "new images", "pool", "seeds"), body)


def other_data() -> list[str]:
    """Few images of data that no default was chosen by: points above or below zero-shot, of every seed."""
    found: dict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
    for one in rows("other_data"):
        found[one["data"], one["per_class"]].append(one)
    body = []
    for (data, count), runs in found.items():
        above = [
            ", ".join(f"{100 * (run[what] - run['zero_shot']):+.1f}" for run in sorted(runs, key=lambda r: r["seed"]))
            for what in ("accuracy", "whole")
        ]
        body.append((data, str(count), percent(mean(run["zero_shot"] for run in runs)), *above))
    head = ("data", "images per class", "zero-shot, new images", "default head, by seed", "not interpolated, by seed")
    return table(head, body)


SHOWN = {"start": "random start", "propagate": "scores spread over neighbors", "rule": "union"}


MAIN = ("`coreg`", "`cross_entropy`", "`unicon`")
"""Learners of the README's table; the rows written by hand are in it as well."""


def main_rows() -> list[str]:
    """`on_features` for the README: a few learners beside the rows written by hand."""
    head, ruler, *body = on_features()
    return [head, ruler, *(row for row in body if row.split("|")[1].strip() in MAIN or "`" not in row)]


def on_features() -> list[str]:
    """Learners and rows written by hand, on held-out images."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for one in (*rows("by_hand"), *rows("learners")):
        name = (
            one["learner"] if " " in one["learner"] or one["learner"] in ("GDA", "zero-shot") else f"`{one['learner']}`"
        )
        found[name][one["data"]].append(one["accuracy"])
    body = []
    for name, cells in found.items():
        shown = [f"{percent(mean(cells[c]))} ({len(cells[c])})" if cells[c] else "" for c in DATA[:2]]
        body.append((name, *shown))
    return table(("held-out top-1 (seeds)", *DATA[:2]), body)


def second_encoder() -> list[str]:
    """A second encoder: solvers on all images, and heads on held-out ones."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for one in rows("second_encoder"):
        found[one["row"]][one["data"]] = percent(one["accuracy"])
    runs: dict[tuple[str, str], list[float]] = defaultdict(list)
    trained = list(rows("two_encoders"))
    measured = Counter((one["data"], one["seed"]) for one in trained)
    whole = max(measured.values(), default=0)
    for one in (one for one in trained if measured[one["data"], one["seed"]] == whole):  # the same seeds in every row
        read = {"own": "the annotator's features", "both": "both"}[one["encoders"]]
        spread = ", scores spread over the same" if one["propagate"] else ""
        runs["held-out images: zero-shot", one["data"]].append(one["zero_shot"])
        runs[f"head on {read}{spread}", one["data"]].append(one["accuracy"])
    for (name, data), values in runs.items():
        found[name][data] = percent(mean(values))
    data = dict.fromkeys(one["data"] for one in rows("second_encoder"))
    return table(("top-1", *data), ((name, *(cells.get(c, "") for c in data)) for name, cells in found.items()))
