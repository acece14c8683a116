"""A run's folder as the other stages leave it, from scikit-learn's handwritten digits."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_digits

from zerolabel.annotations import Annotations, Annotator
from zerolabel.cli import demo_data

TEMPLATES = (
    "a photo of the number {}",
    "a handwritten {}",
    "the digit {}",
    "{}",
    "a blurry {} written with a pen",
    "a scan of the character {}",
    "someone wrote {}",
)


def write_run(
    folder: Path, *, classes: tuple[str, ...] = tuple("0123456789"), truth: bool = True, seed: int = 0
) -> Path:
    """Write every file of a finished run into ``folder / "run"``; the scores are simulated, the images are real."""
    rng = np.random.default_rng(seed)
    digits = demo_data.write_digits(folder)
    targets = load_digits(return_X_y=True)[1]
    names = {
        part: sorted(p.name for p in path.iterdir()) for part, path in (("train", digits.train), ("test", digits.test))
    }
    run = folder / "run"
    (run / "classifier").mkdir(parents=True)
    parts = {
        part: _simulate(rng, np.array([targets[int(n[6:10])] for n in files]), files, part, classes)
        for part, files in names.items()
    }
    parts["train"][0].save(run / "annotations.parquet")
    parts["test"][0].save(run / "test_annotations.parquet")
    predictions = pd.concat([frame for _, frame in parts.values()], ignore_index=True)
    predictions.drop(columns="true").to_parquet(run / "predictions.parquet", index=False)
    _write_log(run, rng)
    _write_config(run, digits, classes, truth)
    _write_metrics(run, parts, classes, truth)
    with (run / "skipped.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [("file_name", "reason"), ("sub/broken.png", "the file is empty"), ("<img src=x>.png", "a & b")]
        )
    (run / "classifier.onnx").write_bytes(bytes(412_345))
    (run / "classifier" / "model.safetensors").write_bytes(bytes(401_000))
    return run


def _simulate(
    rng: np.random.Generator, targets: np.ndarray, files: list[str], part: str, classes: tuple[str, ...]
) -> tuple[Annotations, pd.DataFrame]:
    n, c, a = len(files), len(classes), len(TEMPLATES)
    truth = np.eye(c)[targets]
    confusable = truth + 0.75 * np.roll(truth, 3, axis=1) * (targets % 3 == 0)[:, None]
    shared = 3 * confusable + rng.normal(0, 0.9, (n, c))
    logits = shared[:, None] + rng.normal(0, 0.6, (n, a, c)) * np.linspace(0.5, 2.2, a)[None, :, None]
    probabilities = torch.tensor(logits * 1.6, dtype=torch.float32).softmax(-1)
    votes = probabilities.argmax(-1)
    votes[probabilities.amax(-1) < 0.25] = -1
    candidates = torch.zeros(n, c, dtype=torch.bool)
    for column in votes.T:
        candidates[torch.arange(n)[column >= 0], column[column >= 0]] = True
    scores = probabilities.mean(1)
    student = torch.tensor(5 * (confusable + 0.3 * truth) + rng.normal(0, 1.6, (n, c)), dtype=torch.float32).softmax(-1)
    annotations = Annotations(
        classes=classes,
        file_names=tuple(files),
        sha256=tuple(f"{i:064x}" for i in range(n)),
        sizes=torch.full((n, 2), 8),
        votes=votes,
        scores=scores,
        candidates=candidates,
        labels=torch.full((n,), -1),
        annotators=tuple(Annotator("glyphs", "1", template) for template in TEMPLATES),
        rule="union",
    )
    frame = pd.DataFrame(
        {
            "file_name": files,
            "set": part,
            "zero_shot": [classes[i] for i in scores.argmax(1)],
            "zero_shot_confidence": scores.amax(1).numpy(),
            "student": [classes[i] for i in student.argmax(1)],
            "student_confidence": student.amax(1).numpy(),
            "true": [classes[i] for i in targets],
        }
    )
    return annotations, frame


def _write_log(run: Path, rng: np.random.Generator, epochs: int = 40, warm_up: int = 6) -> None:
    records = []
    for epoch in range(epochs):
        t = epoch / epochs
        noise = rng.normal(0, 0.02, 6)
        record: dict[str, Any] = {"epoch": epoch, "progress": t, "learning_rate": 0.03 * (1 + np.cos(np.pi * t)) / 2}
        if epoch < warm_up:
            record["losses"] = {"warm_up": 1.9 * np.exp(-epoch / 3) + 0.2, "entropy": -0.3 - 0.1 * epoch}
            record["figures"] = {}
        else:
            record["losses"] = {
                "partial": 0.7 * np.exp(-3 * t) + 0.2 + noise[0],
                "unlabeled": 0.05 + 0.1 * t + noise[1] / 4,
                "prototype": 1.2 * np.exp(-2 * t) + noise[2],
                "contrastive": 5.2 - t + noise[3],
            }
            record["figures"] = {
                "partial_a": int(700 + 450 * t + 300 * noise[4]),
                "partial_b": int(690 + 460 * t + 300 * noise[5]),
                "agreement": 0.8 + 0.17 * t,
            }
        records.append({**record, "images_per_second": 2900 + 4000 * noise[0], "seconds": 2.1 + noise[1]})
    (run / "log.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))


def _write_config(run: Path, digits: demo_data.Digits, classes: tuple[str, ...], truth: bool) -> None:
    config = {
        "command": [
            "zerolabel",
            "run",
            str(digits.train),
            "--classes",
            ",".join(classes),
            "--vlm",
            "glyphs",
            "-o",
            str(run),
        ],
        "images": str(digits.train),
        "test_images": str(digits.test),
        "classes": list(classes),
        "vlm": ["glyphs"],
        "templates": [list(TEMPLATES)],
        "rule": "union",
        "learner": "coreg",
        "hyper_parameters": {"warm_up": 6, "temperature": 0.3},
        "settings": {"epochs": 40, "seed": 0},
        "student": "light",
        "truth": str(digits.truth) if truth else None,
        "zerolabel": "0.1.0",
        "created": "2026-01-02T03:04:05",
    }
    (run / "config.json").write_text(json.dumps(config))


def _write_metrics(
    run: Path, parts: dict[str, tuple[Annotations, pd.DataFrame]], classes: tuple[str, ...], truth: bool
) -> None:
    annotations, _ = parts["train"]
    held_out, frame = parts["test"]
    metrics: dict[str, Any] = {
        "n_images": len(annotations),
        "n_skipped": 2,
        "n_classes": len(classes),
        "mean_candidates": float(annotations.candidates.sum(1).float().mean()),
        "evaluated_on": "held-out images",
        "n_evaluated": len(frame) if truth else 0,
        "seconds": {"annotate": 6.2, "train": 84.1, "evaluate": 1.9, "export": 3.3},
        "images_per_second": 310.0,
        "student_parameters": 98_000,
        "vlm_parameters": 900_000,
        "student_agreement": 0.962,
        "temperature": 1.31,
        "threshold": 0.62,
        "onnx": {"max_difference": 2.4e-7, "agreement": 1.0},
        "latency": {
            "height": 8,
            "width": 8,
            "figures": [
                {"model": model, "batch": batch, "threads": threads, "milliseconds": milliseconds}
                for model, times in (("classifier", (0.4, 0.1, 0.3, 0.05)), ("glyphs", (5.0, None, 3.0, 2.0)))
                for (batch, threads), milliseconds in zip(((1, 1), (32, 1), (1, 4), (32, 4)), times, strict=True)
            ],
        },
    }
    if truth:
        right = {who: frame[who] == frame["true"] for who in ("student", "zero_shot")}
        ids = torch.tensor([classes.index(name) for name in frame["true"]])
        metrics |= {
            "student_accuracy": float(right["student"].mean()),
            "zero_shot_accuracy": float(right["zero_shot"].mean()),
            "zero_shot_accuracy_per_template": {
                t: float((held_out.votes[:, i] == ids).float().mean()) for i, t in enumerate(TEMPLATES)
            },
            "candidate_coverage": float(held_out.candidates[torch.arange(len(ids)), ids].float().mean()),
            "student_per_class": right["student"].groupby(frame["true"]).mean().to_dict(),
        }
        evaluation = {
            "classes": list(classes),
            "confusion": pd.crosstab(frame["true"], frame["student"])
            .reindex(index=classes, columns=classes, fill_value=0)
            .to_numpy()
            .tolist(),
            "zero_shot_confusion": pd.crosstab(frame["true"], frame["zero_shot"])
            .reindex(index=classes, columns=classes, fill_value=0)
            .to_numpy()
            .tolist(),
            "per_class": metrics["student_per_class"],
            "zero_shot_per_class": right["zero_shot"].groupby(frame["true"]).mean().to_dict(),
            "n": len(frame),
            "ece": 0.031,
        }
        (run / "evaluation.json").write_text(json.dumps(evaluation))
    (run / "metrics.json").write_text(json.dumps(metrics))


@pytest.fixture(scope="session")
def run_with_truth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("truth"))


@pytest.fixture(scope="session")
def run_without_truth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("no-truth"), truth=False)


@pytest.fixture
def run_copy(run_with_truth: Path, tmp_path: Path) -> Path:
    """A run that a test may change."""
    return shutil.copytree(run_with_truth, tmp_path / "run")


@pytest.fixture(scope="session")
def run_of_odd_names(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class names that are markup, Markdown or long."""
    names = (
        "<b>&",
        "a|b",
        '"quoted"',
        "{curly}",
        "*star* `tick`",
        "a very long class name " * 3,
        "ß",
        "日本",
        "x",
        "</style>",
    )
    return write_run(tmp_path_factory.mktemp("odd"), classes=names)
