"""Partial-label learners on the classical real-world sets: ``python -m benchmarks.realworld_partial --data FOLDER``.

The folder holds ``lost.mat``, ``MSRCv2.mat``, ``BirdSong.mat``, ``FG-NET.mat`` and ``italian.mat`` with the arrays
``data`` (n x d), ``partial_target`` and ``target`` (C x n), as github.com/pruirui/partial_label_realworld_dataset has
them. Features are scaled to mean 0 and deviation 1 of the training rows and to length 1. Each split trains on 80% of
the rows, with the candidate sets alone, and is tested on the rest; nothing is chosen by the test rows. The two large
sets take fewer epochs, so that a training has one or two thousand steps on any set, and what learners count in epochs
is shortened in proportion. Finished runs are kept under ``build/benchmarks/realworld_partial`` and not repeated, so
that the command can be stopped and continued; with ``--add`` the committed ones are not repeated, either, but for those
of learners that ``--methods`` names. The tables go to the screen and to ``benchmarks/results/realworld_partial.json``.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import pandas as pd
import scipy.io
import scipy.sparse
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn import functional as F

from benchmarks import committed
from benchmarks.comparison import ALL
from zerolabel.annotations import Annotations
from zerolabel.blocks.targets import normalize, uniform_over
from zerolabel.data.views import Features
from zerolabel.learners import LEARNERS
from zerolabel.learners.base import hyper_parameters
from zerolabel.networks import build
from zerolabel.training import train
from zerolabel.training.settings import Settings

FILES = {"Lost": "lost", "MSRCv2": "MSRCv2", "BirdSong": "BirdSong", "FG-NET": "FG-NET", "Italian": "italian"}
NETWORKS = ("linear", "mlp")
LEARNER_NAMES = ALL
SUPERVISED = "supervised"
SPLITS = 5
SETTINGS = Settings(epochs=100, batch_size=100, lr=0.05, precision="float32", device="cpu")
EPOCHS_OF_LARGE_SETS = {"BirdSong": 25, "Italian": 10}
OPTIONS: dict[str, Any] = {"view": "weak", "queue": 1024}
"""Of the learners that know them: one view as in the papers, and a queue that is made for sets of this size."""
IN_EPOCHS = ("warm_up", "ramp", "interval", "delay")
"""Hyper-parameters that count epochs."""
WORK = Path("build/benchmarks/realworld_partial")
RESULTS = Path("benchmarks/results/realworld_partial.json")
KEYS = ("data", "network", "learner", "split")


@dataclass(frozen=True)
class Rows:
    """Features (n d), candidate sets (n C), and the truth that only the bound and the evaluation read."""

    features: Tensor
    candidates: Tensor
    truth: Tensor

    @classmethod
    def read(cls, path: Path) -> "Rows":
        """One file; rows without exactly one true class, or without a candidate, are left out."""
        arrays = scipy.io.loadmat(path)
        data, sets, target = (dense(arrays[name]) for name in ("data", "partial_target", "target"))
        kept = (target.sum(0) == 1) & (sets.sum(0) > 0)
        return cls(
            torch.from_numpy(data[kept]).float(),
            torch.from_numpy(sets.T[kept] > 0),
            torch.from_numpy(target.T[kept]).argmax(1),
        )

    def split(self, number: int) -> tuple[Tensor, Tensor]:
        """Training and test rows."""
        order = torch.randperm(len(self.truth), generator=torch.Generator().manual_seed(number))
        return order.tensor_split([round(0.8 * len(order))])


def dense(matrix: Any) -> np.ndarray:
    return np.asarray(matrix.todense() if scipy.sparse.issparse(matrix) else matrix, dtype=np.float64)


def annotate(candidates: Tensor, seed: int) -> Annotations:
    """Annotations that hold candidate sets and nothing else.

    Candidates have equal scores but for at most a thousandth, which is drawn: a learner of one label an image takes
    any of them, not the first.
    """
    n, n_classes = candidates.shape
    drawn = torch.rand(n, n_classes, generator=torch.Generator().manual_seed(seed))
    return Annotations(
        classes=tuple(f"class {c}" for c in range(n_classes)),
        file_names=tuple(f"row {i}" for i in range(n)),
        sha256=("",) * n,
        sizes=torch.zeros(n, 2, dtype=torch.long),
        votes=torch.zeros(n, 0, dtype=torch.long),
        scores=normalize(uniform_over(candidates) * (1 + drawn / 1000)),
        candidates=candidates,
        labels=torch.full((n,), -1),
        annotators=(),
        rule="given",
    )


def options(learner: str, epochs: int) -> dict[str, Any]:
    """What a learner is given: `OPTIONS` that it knows, and what it counts in epochs, in proportion to the training."""
    known = hyper_parameters(LEARNERS[learner])
    counted = {name: value for name, value in known.items() if name in IN_EPOCHS and isinstance(value, int)}
    shortened = {name: max(1, round(value * epochs / SETTINGS.epochs)) for name, value in counted.items()}
    return shortened | {name: value for name, value in OPTIONS.items() if name in known}


@dataclass(frozen=True)
class Cell:
    """One training."""

    data: str
    network: str
    learner: str
    split: int

    @property
    def key(self) -> tuple[str | int, ...]:
        """What tells it from others."""
        return (self.data, self.network, self.learner, self.split)

    @property
    def file(self) -> Path:
        """Where its result is kept."""
        return WORK / f"{self.data}-{self.network}-{self.learner}-{self.split}.json"

    def run(self, rows: Rows) -> dict[str, Any]:
        """Train and test, or read what was found before."""
        if not self.file.exists():
            found = {**vars(self), **self.measure(rows)}
            self.file.parent.mkdir(parents=True, exist_ok=True)
            partial = self.file.with_suffix(".partial")
            partial.write_text(json.dumps(found))
            partial.replace(self.file)
        return dict(json.loads(self.file.read_text()))

    def measure(self, rows: Rows) -> dict[str, float]:
        """Accuracy on the test rows, and on the training rows inside their candidate sets; seconds."""
        start = time.perf_counter()
        own, test = rows.split(self.split)
        middle, scale = rows.features[own].mean(0), rows.features[own].std(0).clamp_min(1e-6)
        x = F.normalize((rows.features - middle) / scale, dim=1)
        annotations = annotate(rows.candidates[own], self.split)
        name = self.learner
        if name == SUPERVISED:
            name, annotations = "cc", annotations.with_labels(rows.truth[own])
        torch.manual_seed(self.split)
        network = build(self.network, len(annotations.classes), x.shape[1])
        epochs = EPOCHS_OF_LARGE_SETS.get(self.data, SETTINGS.epochs)
        learner = LEARNERS[name](network, annotations, **options(name, epochs))
        for _ in train(learner, Features(x[own]), replace(SETTINGS, epochs=epochs, seed=self.split)):
            pass
        learner.eval()
        with torch.no_grad():
            p = torch.stack([network(x).softmax(1) for network in learner.networks]).mean(0)
        inside = (p[own] * rows.candidates[own]).argmax(1)
        return {
            "accuracy": float((p[test].argmax(1) == rows.truth[test]).float().mean()),
            "identified": float((inside == rows.truth[own]).float().mean()),
            "seconds": time.perf_counter() - start,
        }


def cells(data: list[str], networks: list[str], learners: list[str]) -> Iterator[Cell]:
    """Split by split, so that a stopped run has whole columns."""
    for name in data:
        for network in networks:
            for split in range(SPLITS):
                for learner in learners:
                    yield Cell(name, network, learner, split)


def spread(values: list[float]) -> str:
    """Mean and standard deviation, in per cent."""
    return f"{100 * mean(values):.2f}" + (f" ± {100 * stdev(values):.2f}" if len(values) > 1 else "")


def tables(found: pd.DataFrame) -> Iterator[Table]:
    """One for each data set and network."""
    for (data, network), part in found.groupby(["data", "network"], sort=False):
        table = Table("learner", "test accuracy", "identified in training", "seconds", title=f"{data}, {network}")
        for learner, own in part.groupby("learner", sort=False):
            accuracy, identified = spread(own["accuracy"].tolist()), spread(own["identified"].tolist())
            table.add_row(str(learner), accuracy, identified, f"{own['seconds'].mean():.1f}")
        yield table


def main() -> None:
    """Run what is not there yet, and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the .mat files")
    parser.add_argument("--sets", nargs="*", default=list(FILES), choices=FILES, help="only these data sets")
    parser.add_argument("--networks", nargs="*", default=list(NETWORKS), choices=NETWORKS, help="only these networks")
    known = [*LEARNER_NAMES, SUPERVISED]
    parser.add_argument(
        "--methods", nargs="*", choices=known, help="only these learners, measured again with --add, too"
    )
    committed.add_option(parser)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    old = committed.read(RESULTS, chosen.add).get("cells", [])
    there = {tuple(row[key] for key in KEYS) for row in old} if chosen.methods is None else set()
    rows = {name: Rows.read(chosen.data / f"{FILES[name]}.mat") for name in chosen.sets}
    for cell in cells(chosen.sets, chosen.networks, chosen.methods or known):
        if not cell.file.exists() and cell.key not in there:
            result = cell.run(rows[cell.data])
            print(*vars(cell).values(), f"{result['accuracy']:.4f} {result['seconds']:.1f} s", flush=True)
    new = [json.loads(c.file.read_text()) for c in cells(list(FILES), list(NETWORKS), known) if c.file.exists()]
    facts = {
        "command": "python -m benchmarks.realworld_partial --data FOLDER",
        "date": datetime.now(UTC).date().isoformat(),
        "hardware": f"{os.cpu_count()} cores, {platform.machine()}, one thread, beside other work",
        "torch": torch.__version__,
        "settings": vars(SETTINGS),
        "epochs_of_large_sets": EPOCHS_OF_LARGE_SETS,
        "options": OPTIONS,
        "splits": f"{SPLITS} of 80 and 20 per cent",
        "cells": committed.renew(old, new, KEYS),
    }
    RESULTS.write_text(json.dumps(facts, indent=1) + "\n")
    for table in tables(pd.DataFrame(facts["cells"])):
        Console(width=100).print(table)


if __name__ == "__main__":
    main()
