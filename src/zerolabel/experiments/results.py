"""Results of a comparison: a table of all runs, means over seeds, and files."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from jaxtyping import Float, Int
from rich.table import Table
from safetensors.torch import load_file
from torch import Tensor

from zerolabel.annotations import Annotations
from zerolabel.annotations.files import open_annotations
from zerolabel.diagnostics import alarms, calibration, model_selection
from zerolabel.diagnostics.agreement import agreement, mean_candidates
from zerolabel.errors import InputError
from zerolabel.evaluation import metrics
from zerolabel.experiments.held_out import held_out_scores
from zerolabel.experiments.plan import Comparison, annotations_of, true_labels
from zerolabel.experiments.runs import COMPARISON, run_folder
from zerolabel.files import parquet, replacing, write_text
from zerolabel.networks.base import HEADS
from zerolabel.report.compared import build_comparison
from zerolabel.report.formats import plural
from zerolabel.review.recording import CHOICE

ANNOTATOR = "annotator"
"""The row of the annotators' mean scores, which trains nothing."""
PAGE = "comparison.html"


def table(comparison: Comparison, folder: Path) -> pd.DataFrame:
    """A row per finished run, and one of the annotators; columns of accuracy only where truth was given.

    ``accuracy`` is that on held-out images where there are any, ``pool_accuracy`` that on the images of the training.
    """
    config = next(iter(comparison.configs.values()))
    annotations = annotations_of(comparison, folder)
    on_test = comparison.test_annotations is not None
    judges = open_annotations(str(comparison.test_annotations)) if on_test else annotations
    pool, truth = true_labels(comparison, annotations)
    scores: Tensor | None = judges.scores
    if truth is not None and comparison.test is not None and not on_test:
        scores = held_out_scores(comparison, folder, annotations)
    rows = [
        label_free(judges.scores, judges)
        | accuracies(scores, truth, config.data.classes)
        | on_pool(annotations.scores, pool)
    ]
    rows[0] |= {"learner": ANNOTATOR, "seed": 0, **coverage(annotations, pool)}
    predicted: dict[str, list[Tensor]] = {}
    for name in comparison.configs:
        for seed in range(comparison.seeds):
            place = run_folder(folder, name, seed)
            if not (place / "run.json").is_file():
                continue
            p = load_file(place / "probabilities.safetensors")
            mine = p["test"] if on_test else p["train"]
            predicted.setdefault(name, []).append(mine.argmax(1))
            facts = json.loads((place / "run.json").read_text(encoding="utf-8"))
            target = facts["network_agreement"]
            if target is None:
                target = agreement(p["train"].argmax(1), annotations.scores.argmax(1))
            log_p = p["train"].clamp_min(1e-12).log()
            confidence = model_selection.average_confidence(
                mine.clamp_min(1e-12).log(), calibration.calibrate(log_p, target)
            )
            judged = p.get("test", p["train"])
            rows.append(
                {"learner": name, "seed": seed, **label_free(mine, judges), "average_confidence": confidence}
                | {key: facts[key] for key in ("network_agreement", "seconds", "peak_memory", "parameters")}
                | {"views": ",".join(facts["views"])}
                | accuracies(judged, truth, config.data.classes)
                | on_pool(p["train"], pool)
            )
    found = pd.DataFrame(rows)
    stable = {name: model_selection.stability(seeds) for name, seeds in predicted.items()}
    return found.assign(stability=found["learner"].map(stable))


def label_free(p: Float[Tensor, "N C"], annotations: Annotations) -> dict[str, Any]:
    """Criteria and alarms of one student."""
    raised = [alarm.kind for alarm in alarms.check(p.argmax(1), annotations)]
    return {**model_selection.criteria(p, annotations), "alarms": ",".join(raised)}


def on_pool(p: Float[Tensor, "N C"], truth: Int[Tensor, " N"] | None) -> dict[str, float]:
    """The column of the accuracy on the images of the training; none where the truth says nothing of them."""
    if truth is None or not bool((truth >= 0).any()):
        return {}
    return {"pool_accuracy": metrics.accuracy(p.argmax(1), truth)}


def coverage(annotations: Annotations, truth: Int[Tensor, " N"] | None) -> dict[str, float]:
    """Columns of the annotations: how many candidates there are, and how often the true class is one of them."""
    known = {"mean_candidates": mean_candidates(annotations.candidates)}
    if truth is None or not bool((truth >= 0).any()):
        return known
    return known | {"candidate_coverage": metrics.candidate_coverage(annotations.candidates, truth)}


def accuracies(p: Tensor | None, truth: Tensor | None, classes: Sequence[str]) -> dict[str, Any]:
    """Columns of accuracy; none without truth."""
    if truth is None or p is None:
        return {}
    judged = metrics.evaluate(p, truth, classes)
    each = {f"accuracy of {name}": share for name, share in dict(judged["per_class"]).items()}
    return {"accuracy": judged["accuracy"], "mean_per_class_accuracy": judged["mean_per_class_accuracy"], **each}


def summary(runs: pd.DataFrame, choice: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """A row per learner: mean and standard deviation over seeds of every number, the one to choose first.

    Args:
        runs: a row per run.
        choice: the order that a person's answers gave, see `read_choice`; none orders by the default criterion.
    """
    numbers = [c for c in runs.select_dtypes("number").columns if c != "seed"]
    grouped = runs.groupby("learner", sort=False)[numbers]
    means, spread = grouped.mean(), grouped.std(ddof=1).add_suffix(" spread")
    criterion = means[model_selection.DEFAULT].drop(ANNOTATOR, errors="ignore")
    ranked = model_selection.ranked({str(name): float(value) for name, value in criterion.items()})
    if choice is not None:
        ranked.sort(key=lambda name: choice["order"].index(name) if name in choice["order"] else len(ranked))
    together = pd.concat([means, spread, runs.groupby("learner")["seed"].count().rename("runs")], axis=1)
    return together.loc[[*ranked, *means.index.intersection([ANNOTATOR])]]


def read_choice(folder: Path) -> dict[str, Any] | None:
    """Order of the learners by a person's answers; None if nobody was asked.

    Raises:
        InputError: the file is damaged.
    """
    path = folder / CHOICE
    if not path.is_file():
        return None
    try:
        choice: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        assert choice["order"]
    except (OSError, ValueError, KeyError, TypeError, AssertionError):
        raise InputError(f"{path} is damaged; give zerolabel review {folder} again.") from None
    return choice


def ordered_by(choice: Mapping[str, Any] | None) -> str:
    """A sentence that names the order of the learners and its regret."""
    if choice is not None:
        right = choice["right"][choice["learner"]]
        return (
            f"{choice['n_answers']} answers of a person put {choice['learner']} first: correct for {right} of them "
            f"({choice['design']})"
        )
    criterion, regret = model_selection.DEFAULT, model_selection.REGRETS[model_selection.DEFAULT]
    return (
        f"{criterion.replace('_', ' ')}, which reads no label and is {100 * regret:.1f} points below the best learner "
        "on average in our benchmarks"
    )


def write_page(folder: Path) -> Path:
    """Write ``comparison.html`` from the files of a finished comparison.

    Raises:
        InputError: a file is damaged.
    """
    try:
        runs = parquet.read_frame(folder / "results.parquet")
        learners: dict[str, Any] = json.loads((folder / COMPARISON).read_text(encoding="utf-8"))["learners"]
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{folder} holds no finished comparison ({error}); give compare again.") from None
    names = [name for name in learners if name in set(runs["learner"])]
    choice, seeds, config = read_choice(folder), int(runs["seed"].max()) + 1, learners[names[0]]
    reads = "on frozen features" if config["student"] in HEADS else f"at {config['size']} pixels"
    lead = (
        f"{plural(len(names), 'learner')} × {plural(seeds, 'seed')}, student {config['student']} {reads}, the same "
        "training settings for all; each learner draws its own views."
    )
    told = None if choice is None else ordered_by(choice)
    trained = [name for name in names if not learners[name].get("adapt")]
    page = build_comparison(runs, summary(runs, choice), first_logs(trained, folder), lead, str(folder), told)
    write_text(folder / PAGE, page)
    return folder / PAGE


def shown(means: pd.DataFrame) -> Table:
    """Learners side by side: means over their seeds."""
    wanted = (
        "accuracy",
        "approximated_accuracy",
        "believed_accuracy",
        "covering_rate",
        "nuclear_norm",
        "stability",
        "seconds",
    )
    here = [name for name in wanted if name in means]
    table = Table("learner", *(name.replace("_", " ") for name in here))
    for learner in means.index:
        cells = []
        for name in here:
            value, spread = float(means.loc[learner, name]), means.loc[learner].get(f"{name} spread")
            text = f"{value:.0f}" if name == "seconds" else f"{value:.2%}"
            text += "" if name == "seconds" or spread is None or spread != spread else f" ± {100 * float(spread):.2f}"
            cells.append("" if value != value else text)
        table.add_row(str(learner), *cells)
    return table


def first_logs(learners: Sequence[str], folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The epochs of each learner's first run."""
    files = {name: run_folder(folder, name, 0) / "log.jsonl" for name in learners}
    return {
        name: [json.loads(line) for line in f.read_text(encoding="utf-8").splitlines()] for name, f in files.items()
    }


def save(runs: pd.DataFrame, path: Path) -> None:
    """Write the table, whole or not at all."""
    with replacing(path) as partial:
        parquet.write_frame(runs, partial)


__all__ = ["ANNOTATOR", "ordered_by", "read_choice", "save", "shown", "summary", "table", "write_page"]
