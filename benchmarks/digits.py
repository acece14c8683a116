"""Accuracy on scikit-learn's handwritten digits, annotated by ``glyphs``: ``python -m benchmarks.digits``.

Every cell is one call of the command line. Finished cells are kept under ``build/benchmarks/digits`` and not run
again, so that the command can be stopped and continued; with ``--add`` the committed figures of rows that are not
asked for stay. The table goes to the screen and to ``benchmarks/results/digits.json``.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean, stdev

import pandas as pd
import torch
from rich.console import Console
from rich.table import Table

from benchmarks import committed, equal_candidates
from zerolabel.cli.demo_data import write_digits

SEEDS = (0, 1, 2)
IMBALANCE = 10
WORK = Path("build/benchmarks/digits")
RESULTS = Path("benchmarks/results/digits.json")

ROWS: dict[str, tuple[str, list[str]]] = {
    "Co-Reg, default": ("balanced", []),
    "without co-pseudo-labels": ("balanced", ["--set", "co_pseudo_labels=false"]),
    "plain supervised contrast": ("balanced", ["--set", "contrast=supervised"]),
    "without prototypes": ("balanced", ["--set", "prototype_weight=0"]),
    "without the unlabelled split": ("balanced", ["--set", "unlabeled_split=false"]),
    "candidates equal, as in the paper": ("balanced", equal_candidates.flags()),
    "cross-entropy on zero-shot labels": ("balanced", ["--method", "cross_entropy"]),
    "knowledge distillation": ("balanced", ["--method", "distillation"]),
    "Co-Reg by way of features": ("balanced", ["--via", "features"]),
    "Co-Reg on features alone": ("balanced", ["--student", "features"]),
    "features, scores not spread": ("balanced", ["--student", "features", "--no-propagate"]),
    "imbalanced: Co-Reg, default": ("imbalanced", []),
    "imbalanced: prior uniform": ("imbalanced", ["--set", "prior=uniform"]),
    "imbalanced: classes drawn as they come": ("imbalanced", ["--set", "balance=0"]),
    "imbalanced: scores not spread": ("imbalanced", ["--no-propagate"]),
    "imbalanced: a pixel student": ("imbalanced", ["--student", "light"]),
}


@dataclass(frozen=True)
class Pool:
    """Unlabeled images, and the true labels of these and of the held-out ones."""

    images: Path
    truth: Path


@dataclass(frozen=True)
class Cell:
    """One run of the command line."""

    row: str
    pool: str
    options: list[str]
    seed: int

    @property
    def folder(self) -> Path:
        """Where it is done."""
        return WORK / f"{self.row.replace(' ', '-').replace(',', '').replace(':', '')}-{self.seed}"

    def command(self, pool: Pool, test: Path) -> list[str]:
        """The call."""
        return [
            "zerolabel", "run", str(pool.images), "--classes", ",".join("0123456789"), "--vlm", "glyphs",
            "--test", str(test), "--truth", str(pool.truth), "--seed", str(self.seed),
            "--cache", str(WORK / "cache"), "-o", str(self.folder), "--resume", *self.options,
        ]  # fmt: skip


def imbalanced_pool(digits: Path) -> Pool:
    """A list of training digits whose class sizes fall geometrically, the first ten times the last."""
    truth = pd.read_csv(digits / "truth.csv", dtype=str)
    held_out = truth["file_name"].map(lambda name: (digits / "test" / name).exists())
    train = truth[~held_out]
    largest = train["label"].value_counts().min()
    groups = train.groupby("label")
    kept = pd.concat([group.head(round(largest * IMBALANCE ** (-i / 9))) for i, (_, group) in enumerate(groups)])
    pool = Pool(digits / "imbalanced.txt", digits / "imbalanced-truth.csv")
    pool.images.write_text("".join(f"train/{name}\n" for name in sorted(kept["file_name"])))
    pd.concat([kept, truth[held_out]]).to_csv(pool.truth, index=False)
    return pool


def run(cell: Cell, pool: Pool, test: Path, threads: int) -> dict[str, object]:
    """The metrics of a cell, from its folder where it was finished before."""
    metrics = cell.folder / "metrics.json"
    command = cell.command(pool, test)
    if not metrics.exists():
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"}
        program = str(Path(sys.executable).with_name("zerolabel"))
        done = subprocess.run([program, *command[1:]], env=environment, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
    found = json.loads(metrics.read_text())
    keys = (
        "zero_shot_accuracy", "zero_shot_mean_per_class_accuracy",
        "student_accuracy", "student_mean_per_class_accuracy",
        "both_networks_accuracy", "candidate_coverage", "mean_candidates", "student_agreement", "student_parameters",
    )  # fmt: skip
    numbers = {key: found[key] for key in keys}
    return {"row": cell.row, "pool": cell.pool, "seed": cell.seed, **numbers, "seconds": found["seconds"],
            "n_images": found["n_images"], "command": " ".join(command)}  # fmt: skip


def spread(values: list[float]) -> str:
    """Mean and standard deviation, in per cent."""
    return f"{100 * mean(values):.2f} ± {100 * stdev(values):.2f}" if len(values) > 1 else f"{100 * values[0]:.2f}"


def table(cells: list[dict[str, object]]) -> Table:
    """A row per setting, a mean over its seeds."""
    shown = Table("", "zero-shot", "student", "per class", "both networks", "errors left", "training s")
    for row in ROWS:
        mine = pd.DataFrame([cell for cell in cells if cell["row"] == row])
        if mine.empty:
            continue
        zero, student = mine["zero_shot_accuracy"].mean(), mine["student_accuracy"].mean()
        seconds = [sum(v for k, v in times.items() if k.startswith("train")) for times in mine["seconds"]]
        shown.add_row(
            row,
            f"{100 * zero:.2f}",
            spread(mine["student_accuracy"].tolist()),
            spread(mine["student_mean_per_class_accuracy"].tolist()),
            spread(mine["both_networks_accuracy"].tolist()),
            f"{(1 - student) / (1 - zero):.2f}",
            f"{mean(seconds):.0f}",
        )
    return shown


def cells(rows: list[str]) -> Iterator[Cell]:
    """Seed by seed, so that a stopped run has whole columns."""
    for seed in SEEDS:
        for row in rows:
            pool, options = ROWS[row]
            yield Cell(row, pool, options, seed)


def main() -> None:
    """Run what is not there yet, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time, the cores shared among them")
    parser.add_argument("--rows", nargs="*", default=list(ROWS), help="only these rows")
    committed.add_option(parser)
    arguments = parser.parse_args()
    digits = WORK / "images"
    write_digits(digits)
    pools = {"balanced": Pool(digits / "train", digits / "truth.csv"), "imbalanced": imbalanced_pool(digits)}
    threads = max(1, (os.cpu_count() or 1) // arguments.jobs)
    with ThreadPoolExecutor(arguments.jobs) as workers:
        wanted = list(cells(arguments.rows))
        list(workers.map(lambda cell: run(cell, pools[cell.pool], digits / "test", threads), wanted))
    finished = [cell for cell in cells(list(ROWS)) if (cell.folder / "metrics.json").exists()]
    done = [run(cell, pools[cell.pool], digits / "test", threads) for cell in finished]
    old = committed.read(RESULTS, arguments.add).get("cells", [])
    facts = {
        "command": "python -m benchmarks.digits",
        "date": datetime.now(UTC).date().isoformat(),
        "hardware": f"{os.cpu_count()} cores, {platform.machine()}, {arguments.jobs} runs at a time",
        "torch": torch.__version__,
        "cells": committed.renew(old, done, ("row", "seed")),
    }
    RESULTS.write_text(json.dumps(facts, indent=1) + "\n")
    Console(width=140).print(table(facts["cells"]))


if __name__ == "__main__":
    main()
