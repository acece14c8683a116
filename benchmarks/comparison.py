"""Every learner on the same images: ``python -m benchmarks.comparison --data FOLDER``.

A cell is a pool of images with annotations (see `benchmarks.pools`) and one call of ``zerolabel compare``, three seeds
of each learner. FOLDER holds the archives of Fashion-MNIST, FER2013, CIFAR-10 and CIFAR-10N; the digits need none.
Finished runs are kept under ``build/benchmarks`` and not repeated, so that the command can be stopped, continued, and
given more learners; with ``--add`` the committed figures of all other runs stay, the supervised bound among them. The
tables go to the screen and to ``benchmarks/results/comparison.json``.

The last network is judged on held-out images. Learner and annotator are compared on the pool, which the annotators saw.
"""

import argparse
import json
import os
import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from rich.console import Console
from rich.table import Table

from benchmarks import committed, pools
from benchmarks.equal_candidates import EQUAL
from benchmarks.pools import Pool, zerolabel
from zerolabel.experiments import ANNOTATOR
from zerolabel.learners import LEARNERS

WORK = Path("build/benchmarks/comparison")
RESULTS = Path("benchmarks/results/comparison.json")
BATCH = 32
"""Images in a batch: small, so that few epochs of few images are many steps."""
WANTS_LABELS = ("fixmatch", "flexmatch")
"""Learners that need a few human labels, which no cell has."""
ADAPTING = ("grip", "cpl", "upl", "ueo", "tent", "pouf", "must", "dpa", "lafter")
"""Learners that are meant for the annotating model itself, see `benchmarks.adaptation`."""
ALL = tuple(name for name in LEARNERS if name not in (*WANTS_LABELS, *ADAPTING))
MAIN = ("digits", "fashion", "fer2013")
"""The cells of every learner."""
FEW = ("cross_entropy", "distillation", "coreg", "proden", "rc", "pico", "papi", "elr", "dividemix", "promix")
LATE = ("coreg", "dividemix", "unicon", "pico_plus")
"""Learners that leave the given labels after a warm-up."""
LONG = ("cross_entropy", "coreg", "solar")
AT_A_TIME = 7
"""Cells in a table on the screen."""
FRAME = {
    "annotator, on the pool": "annotator_pool_accuracy",
    "candidates hold the truth": "candidate_coverage",
    "true labels instead": "bound_accuracy",
}

SETS = tuple(f"coreg.{option}" for option in EQUAL)
"""Here most of its training is warm-up."""


@dataclass(frozen=True)
class Cell:
    """Images, and how long the students train.

    Attributes:
        make: writes the pool into a folder, from a folder of archives.
        epochs: of every run.
        size: pixels of the students' input.
        learners: that are run.
        flip: whether an image and its mirror image mean the same.
        options: further ``LEARNER.NAME=VALUE``.
    """

    make: Callable[[Path, Path], Pool]
    epochs: int
    size: int
    learners: tuple[str, ...] = ALL
    flip: bool = True
    options: tuple[str, ...] = ()

    @property
    def settings(self) -> dict[str, Any]:
        """What is said of it beside its figures."""
        return {"epochs": self.epochs, "size": self.size, "options": list(self.options)}


CELLS = {
    "digits": Cell(pools.digits, 20, 32, flip=False),
    "fashion": Cell(pools.fashion, 20, 28),
    "fer2013": Cell(pools.fer2013, 20, 32),
    "digits, lr=0.01": Cell(pools.digits, 20, 32, ("lws", "fredis"), flip=False, options=("lr=0.01",)),
    "fashion, 80 epochs, lr=0.02": Cell(pools.fashion, 80, 28, ("lws",), options=("lr=0.02",)),
    "fer2013, late": Cell(pools.fer2013, 20, 32, LATE, options=tuple(f"{name}.warm_up=17" for name in LATE)),
    "fashion, 60 epochs": Cell(pools.fashion, 60, 28, LONG),
    "fer2013, 60 epochs": Cell(pools.fer2013, 60, 32, (*LONG, "crdpll")),
    "fer2013, 60 epochs, late": Cell(pools.fer2013, 60, 32, ("coreg",), options=("coreg.warm_up=52",)),
    "fashion, sets alone": Cell(pools.fashion, 20, 28, ("coreg",), options=(*SETS, "coreg.warm_up=17")),
    "fer2013, sets alone": Cell(pools.fer2013, 20, 32, ("coreg",), options=(*SETS, "coreg.warm_up=17")),
    "fashion, 60 epochs, sets alone": Cell(pools.fashion, 60, 28, ("coreg",), options=(*SETS, "coreg.warm_up=52")),
    "cifar10n": Cell(pools.cifar10n, 10, 32, FEW),
    "grid q=0.1 eta=0.2": Cell(pools.drawn(0.1, 0.2), 20, 32, FEW),
    "grid q=0.3 eta=0": Cell(pools.drawn(0.3, 0.0), 20, 32, FEW),
    "grid q=0.3 eta=0.4": Cell(pools.drawn(0.3, 0.4), 20, 32, (*FEW, "pico_plus", "alim")),
}


def compare(name: str, cell: Cell, learners: tuple[str, ...], pool: Pool, seeds: int, jobs: int) -> None:
    """The runs of a cell that are not there."""
    own = [part for one in cell.options for part in ("--set", one)]
    train(pool, pool.annotations, WORK / name, learners, cell, seeds, jobs, *own)


def compare_bound(name: str, cell: Cell, pool: Pool, seeds: int, jobs: int) -> None:
    """Its supervised bound."""
    train(pool, pool.bound, WORK / "bounds" / name, ("cross_entropy",), cell, seeds, jobs)


def train(
    pool: Pool, annotations: Path, out: Path, learners: tuple[str, ...], cell: Cell, seeds: int, jobs: int, *more: str
) -> None:
    """One call of ``zerolabel compare``."""
    zerolabel(
        "compare", pool.folder / "train", annotations, "-o", out, "--methods", ",".join(learners),
        "--truth", pool.truth, "--test", pool.folder / "test", "--student", "light", "--epochs", cell.epochs,
        "--size", cell.size, "--seeds", seeds, "--jobs", jobs, "--flip" if cell.flip else "--no-flip",
        "--set", f"batch_size={BATCH}", *more,
    )  # fmt: skip


def prepare(name: str, cell: Cell, data: Path) -> Pool:
    """The pool of a cell; ``bound.parquet``, which is made last, tells that it is whole."""
    folder = WORK / "pools" / name
    classes = folder / "classes.txt"
    if (folder / "bound.parquet").is_file():
        return Pool(folder, tuple(classes.read_text(encoding="utf-8").splitlines()))
    (folder / "truth.csv").unlink(missing_ok=True)
    pool = cell.make(folder, data)
    pool.simulate(pool.bound, "uniform", "--q", 0, "--eta", 0)
    return pool


def read(name: str, bound: float | None = None) -> dict[str, Any] | None:
    """What was measured in a cell; None where nothing was yet.

    Args:
        name: of the cell.
        bound: its supervised bound, where that is not measured here.
    """
    file = WORK / name / "results.parquet"
    measured = WORK / "bounds" / name / "results.parquet"
    if measured.is_file():
        bound = float(pd.read_parquet(measured).query("learner == 'cross_entropy'")["accuracy"].mean())
    if not file.is_file() or bound is None:
        return None
    runs = pd.read_parquet(file).drop(columns=["parameters"])
    runs = runs[[column for column in runs if not str(column).startswith("accuracy of ")]]
    annotator = runs[runs["learner"] == ANNOTATOR].iloc[0]
    return {
        "annotator_pool_accuracy": float(annotator["pool_accuracy"]),
        "candidate_coverage": float(annotator["candidate_coverage"]),
        "mean_candidates": float(annotator["mean_candidates"]),
        "bound_accuracy": bound,
        "runs": json.loads(runs[runs["learner"] != ANNOTATOR].dropna(axis=1, how="all").to_json(orient="records")),
    }


def same_pool(old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Whether the images and annotations of a cell are those of its committed figures."""
    return all(abs(old[key] - new[key]) <= 1e-9 for key in ("annotator_pool_accuracy", "candidate_coverage"))


def joined(old: dict[str, Any], new: dict[str, Any] | None) -> dict[str, Any] | None:
    """A cell with the runs that were committed before, where its images and annotations are still the same."""
    if not old or new is None:
        return new or old or None
    return (
        {**new, "runs": committed.renew(old["runs"], new["runs"], ("learner", "seed"))} if same_pool(old, new) else new
    )


def means(cells: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """Mean accuracy over seeds of each learner in each cell, and over the cells that all learners share."""
    runs = pd.concat([pd.DataFrame(cell["runs"]).assign(cell=name) for name, cell in cells.items()])
    table = runs.pivot_table(index="learner", columns="cell", values="accuracy")[list(cells)]
    shared = [name for name in MAIN if name in table]
    return table.assign(mean=table[shared].mean(axis=1, skipna=False)).sort_values("mean", ascending=False)


def rows(cells: dict[str, dict[str, Any]]) -> Iterator[list[str]]:
    """Lines of the table: what frames the cells, then the learners, the best mean first."""
    for title, key in FRAME.items():
        yield [title, *(f"{100 * cell[key]:.1f}" for cell in cells.values()), "", ""]
    yield ["candidates per image", *(f"{cell['mean_candidates']:.2f}" for cell in cells.values()), "", ""]
    table, runs = means(cells), [pd.DataFrame(cell["runs"]) for cell in cells.values()]
    for learner in table.index:
        mine = [one[one["learner"] == learner] for one in runs]
        texts = [f"{100 * m['accuracy'].mean():.1f} ± {100 * m['accuracy'].std():.1f}" if len(m) else "" for m in mine]
        average = table.loc[learner, "mean"]
        seconds = sum(m["seconds"].sum() for m in mine)
        yield [str(learner), *texts, "" if average != average else f"{100 * average:.1f}", f"{seconds:.0f}"]


def shown(cells: dict[str, dict[str, Any]]) -> Iterator[Table]:
    """Accuracy on held-out images, in per cent, mean and standard deviation over seeds, a few cells at a time."""
    names, lines = list(cells), list(rows(cells))
    for start in range(0, len(names), AT_A_TIME):
        table = Table("learner", *names[start : start + AT_A_TIME], "mean of the first three", "seconds")
        for title, *texts, average, seconds in lines:
            here = texts[start : start + AT_A_TIME]
            if any(here):
                table.add_row(title, *here, average, seconds)
        yield table


def main() -> None:
    """Run what is not there yet, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of the archives")
    parser.add_argument("--cells", nargs="*", default=list(CELLS), choices=list(CELLS), help="only these")
    parser.add_argument("--methods", nargs="*", choices=ALL, help="only these")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each learner")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time, the cores shared among them")
    committed.add_option(parser)
    options = parser.parse_args()
    old = committed.read(RESULTS, options.add).get("cells", {})
    bounds = {name: cell["bound_accuracy"] for name, cell in old.items()}
    for name in options.cells:
        cell, pool = CELLS[name], prepare(name, CELLS[name], options.data)
        wanted = cell.learners if options.methods is None else tuple(options.methods)
        compare(name, cell, wanted, pool, options.seeds, options.jobs)
        done = read(name, bounds.get(name))
        if done is None or not same_pool(old[name], done):
            compare_bound(name, cell, pool, options.seeds, options.jobs)
    new = {name: read(name, bounds.get(name)) for name in CELLS}
    cells = {name: found for name in CELLS if (found := joined(old.get(name, {}), new[name])) is not None}
    facts = {
        "command": "python -m benchmarks.comparison --data FOLDER",
        "date": datetime.now(UTC).date().isoformat(),
        "hardware": f"{os.cpu_count()} cores, {platform.machine()}, {options.jobs} runs at a time",
        "torch": torch.__version__,
        "settings": {name: CELLS[name].settings for name in cells},
        "student": "light",
        "batch": BATCH,
        "cells": cells,
    }
    RESULTS.write_text(json.dumps(facts, indent=1) + "\n")
    Console(width=160).print(*shown(cells))


if __name__ == "__main__":
    main()
