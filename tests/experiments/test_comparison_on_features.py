"""A comparison on frozen features, of images that are embeddings."""

import json
from pathlib import Path

import pandas as pd
import pytest

from tests.runs.test_estimator import CLASSES, write
from zerolabel import vlms
from zerolabel.annotate import annotate
from zerolabel.annotate.embeddings import write_embeddings
from zerolabel.cli import main
from zerolabel.data.classes import Classes
from zerolabel.data.images import ImageSet


def test_learners_are_compared_on_embeddings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    glyphs = vlms.load_model("glyphs")
    for name, start, count in (("train", 0, 60), ("test", 60, 30)):
        write(tmp_path / name, start, count)
        write_embeddings(ImageSet.open(tmp_path / name), glyphs, tmp_path / f"{name}-embeddings")
    name = f"embeddings:{tmp_path / 'train-embeddings'}"
    templates = vlms.templates(name, None)
    annotate(ImageSet.open(name), vlms.load(name), Classes(CLASSES), templates, out=tmp_path / "votes")
    truth = pd.concat([pd.read_csv(tmp_path / f"{part}.csv", dtype=str) for part in ("train", "test")])
    truth.to_csv(tmp_path / "truth.csv", index=False)
    main(
        [
            *("compare", name, str(tmp_path / "votes"), "-o", str(tmp_path / "out"), "--methods", "cross_entropy"),
            *("--seeds", "1", "--epochs", "3", "--test", f"embeddings:{tmp_path / 'test-embeddings'}"),
            *("--truth", str(tmp_path / "truth.csv"), "--json"),
        ]
    )
    (row,) = [row for row in json.loads(capsys.readouterr().out) if row["learner"] == "cross_entropy"]
    assert row["accuracy"] > 0.8
