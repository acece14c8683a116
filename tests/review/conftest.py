"""A small finished run of real digits: 60 training and 80 held-out images, a student that errs now and then."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from sklearn.datasets import load_digits

CLASSES = tuple("0123456789")
N_TRAIN, N_TEST = 60, 80


def make_run(folder: Path, *, held_out: bool = True) -> Path:
    digits = load_digits()
    rows = []
    for i in range(N_TRAIN + (N_TEST if held_out else 0)):
        part = "train" if i < N_TRAIN else "test"
        name = f"{i:03}.png"
        (folder / part).mkdir(parents=True, exist_ok=True)
        Image.fromarray((digits.images[i] * 15.9).astype(np.uint8)).save(folder / part / name)
        true = int(digits.target[i])
        student = (true + 1) % 10 if i % 7 == 0 else true
        zero_shot = (true + 1) % 10 if i % 3 == 0 else true
        rows.append((name, part, str(zero_shot), 0.5, str(student), 0.9 - 0.005 * (i % 60)))
    run = folder / "run"
    run.mkdir()
    heads = ["file_name", "set", "zero_shot", "zero_shot_confidence", "student", "student_confidence"]
    pd.DataFrame(rows, columns=heads).to_parquet(run / "predictions.parquet")
    config = {"images": str(folder / "train"), "classes": CLASSES, "zerolabel": "0"}
    if held_out:
        config["test_images"] = str(folder / "test")
    (run / "config.json").write_text(json.dumps(config))
    (run / "metrics.json").write_text(json.dumps({"n_images": N_TRAIN, "n_classes": 10, "deployed": "student"}))
    return run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path)


@pytest.fixture
def run_without_test(tmp_path: Path) -> Path:
    return make_run(tmp_path, held_out=False)


@pytest.fixture
def truth() -> Callable[[str], int]:
    """The true class id of an image, by its name."""
    target = load_digits().target
    return lambda name: int(target[int(Path(name).stem)])


@pytest.fixture
def comparison(run, tmp_path, make_annotations):
    """A folder as `compare` leaves it: two learners, held-out images."""
    n, m = 60, 80
    folder = tmp_path / "compared"
    annotations = make_annotations(torch.randint(10, (n, 2)), 10)
    annotations = replace(annotations, file_names=tuple(f"{i:03}.png" for i in range(n)), classes=CLASSES)
    (folder / "runs").mkdir(parents=True)
    annotations.save(tmp_path / "annotations.parquet")
    config = {"images": str(tmp_path / "train"), "annotations": str(tmp_path / "annotations.parquet")}
    told = {"learners": {"coreg": config, "adapt:ueo": config}, "test": str(tmp_path / "test")}
    (folder / "comparison.json").write_text(json.dumps(told))
    for name in ("coreg-0", "adapt-ueo-0"):
        (folder / "runs" / name).mkdir()
        p = {"train": torch.rand(n, 10).softmax(1), "test": torch.rand(m, 10).softmax(1)}
        save_file(p, folder / "runs" / name / "probabilities.safetensors")
    return folder


@pytest.fixture
def truth_file(tmp_path: Path) -> Path:
    """The true labels of all images."""
    target = load_digits().target[: N_TRAIN + N_TEST]
    path = tmp_path / "truth.csv"
    path.write_text("file_name,label\n" + "".join(f"{i:03}.png,{label}\n" for i, label in enumerate(target)))
    return path
