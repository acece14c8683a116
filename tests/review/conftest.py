"""A small finished run of real digits: 60 training and 80 held-out images, a student that errs now and then."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
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
