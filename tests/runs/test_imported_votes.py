"""Votes of people and other tools: what a run on them does, and what it never calls them."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest
import torch

from tests.runs.test_estimator import CLASSES, write
from zerolabel import Annotations
from zerolabel.annotations import Annotator
from zerolabel.data.images import ImageSet
from zerolabel.diagnostics import inspection
from zerolabel.integrations.joining import add_votes, blank
from zerolabel.report import inspected
from zerolabel.runs import pipeline
from zerolabel.runs.folder import Folder
from zerolabel.runs.planning import plan
from zerolabel.runs.request import Request
from zerolabel.runs.workspace import Workspace

NEVER = re.compile(r"zero.shot|vision.language|prompt ensemble", re.IGNORECASE)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("imported")
    write(place / "train", 0, 40)
    write(place / "test", 40, 20)
    images = blank(ImageSet.open(place / "train"), CLASSES)
    truth = torch.tensor([int(name) for name in pd.read_csv(place / "train.csv")["label"]])
    votes = torch.stack([truth, torch.where(torch.arange(40) % 4 == 0, (truth + 1) % 10, truth)], 1)
    annotators = [Annotator("csv", "", "anna.csv"), Annotator("crowd-kit", "", "worker 7")]
    add_votes(images, votes, annotators).save(place / "votes.parquet")
    return place


def test_votes_of_people_are_called_votes(place: Path) -> None:
    request = Request(
        str(place / "train"),
        annotations=str(place / "votes.parquet"),
        vlm="glyphs",
        student="mlp",
        learner="cross_entropy",
        epochs=2,
        device="cpu",
        test_images=str(place / "test"),
        truth=str(place / "test.csv"),
    )
    config = plan(request)
    workspace = Workspace(Folder(place / "run"), lambda stage, steps: steps, place / "cache")
    with pipeline.begun(config, workspace, resume=False, overwrite=False):
        metrics = pipeline.run(config, workspace)
    assert config.annotation.encoder == "glyphs" and config.annotation.names == ("csv", "crowd-kit")
    assert metrics["evaluated_on"] == "held-out images" and metrics["n_evaluated"] == 20
    assert not any("zero_shot" in name for name in metrics) and "votes_accuracy" not in metrics
    held_out = Annotations.load(place / "run" / "test_annotations.parquet")
    assert held_out.votes.shape == (20, 0) and not bool(held_out.candidates.any())
    frame = pd.read_parquet(place / "run" / "predictions.parquet")
    assert {"votes", "votes_confidence"} < set(frame.columns) and len(frame) == 60
    for name in ("report.html", "README.md", "metrics.json", "evaluation.json"):
        text = re.sub(r"<style>.*?</style>", "", (place / "run" / name).read_text(), flags=re.DOTALL)
        assert not NEVER.search(text), (name, NEVER.search(text))
    assert (
        "Votes were imported from csv (1 annotator), crowd-kit (1 annotator)"
        in (place / "run" / "report.html").read_text()
    )


def test_their_accuracy_where_truth_is_of_the_images_they_saw(place: Path) -> None:
    request = Request(
        str(place / "train"),
        annotations=str(place / "votes.parquet"),
        learner="cross_entropy",
        student="light",
        epochs=1,
        device="cpu",
        truth=str(place / "train.csv"),
    )
    config = plan(request)
    workspace = Workspace(Folder(place / "other"), lambda stage, steps: steps, place / "cache")
    with pipeline.begun(config, workspace, resume=False, overwrite=False):
        metrics = pipeline.run(config, workspace)
    assert metrics["votes_accuracy_per_annotator"] == {"csv: anna.csv": 1.0, "crowd-kit: worker 7": 0.75}
    assert metrics["votes_accuracy"] >= 0.75 and "zero_shot_accuracy" not in metrics
    assert "votes_per_class" in json.loads((place / "other" / "evaluation.json").read_text())
    assert "Vote of all annotators" in (place / "other" / "README.md").read_text()
    assert not NEVER.search((place / "other" / "README.md").read_text())


def test_findings_name_annotators(place: Path) -> None:
    annotations = Annotations.load(place / "votes.parquet")
    votes = torch.cat([annotations.votes, torch.full((40, 1), 3)], 1)
    third = add_votes(annotations, votes[:, 2:], [Annotator("label-studio", "", "bob")])
    found = inspection.inspect(third)
    told = [f"{one.about} {one.text} {one.suggestion}" for one in found.findings]
    assert any("bob" in text for text in told) and not any("prompt" in text for text in told if "bob" in text)
    page = re.sub(r"<style>.*?</style>", "", inspected.build_inspection(found), flags=re.DOTALL)
    assert not NEVER.search(page) and "3 annotators voted" in page
