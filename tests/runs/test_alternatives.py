"""Simpler classifiers beside the student."""

import json
from pathlib import Path

import pytest
import torch
from rich.console import Console
from sklearn.datasets import load_digits

from zerolabel import cli
from zerolabel.cli.tables import outcome
from zerolabel.runs.baselines import DISCRIMINANT, LOGISTIC, best_annotator, linear_predictions


@pytest.fixture
def said(make_annotations):
    """Handwritten digits, pixels as features, voted on by two annotators of 60 and 85 %."""
    torch.manual_seed(0)
    pixels, labels = load_digits(return_X_y=True)
    truth, features = torch.tensor(labels), torch.nn.functional.normalize(torch.tensor(pixels).float(), dim=1)
    wrong = torch.randint(10, (len(truth), 2))
    votes = torch.where(torch.rand(wrong.shape) < torch.tensor([0.6, 0.85]), truth[:, None], wrong)
    scores = torch.nn.functional.one_hot(votes[:, 1], 10).float()
    return make_annotations(votes, 10).with_scores(scores), features, truth


def test_linear_classifiers_learn_from_votes_and_predict_what_they_did_not_learn(said):
    annotations, features, truth = said
    aside = torch.arange(1000, len(truth))
    found = linear_predictions(annotations, features, aside, [features, features[aside]])
    assert set(found) == {DISCRIMINANT, LOGISTIC}
    voted = float((annotations.scores.argmax(1) == truth)[aside].float().mean())
    for whole, rest in found.values():
        assert torch.equal(whole[aside], rest)
        assert float((rest == truth[aside]).float().mean()) > voted + 0.03
    one_class = annotations.with_scores(torch.eye(10)[torch.zeros(len(truth), dtype=torch.long)])
    assert linear_predictions(one_class, features, aside, [features]) == {}


def test_the_annotator_that_counts_most_is_found_without_labels(make_annotations):
    torch.manual_seed(0)
    truth = torch.randint(10, (500,))
    wrong = torch.randint(10, (500, 3))
    votes = torch.where(torch.rand(wrong.shape) < torch.tensor([0.6, 0.7, 0.9]), truth[:, None], wrong)
    assert best_annotator(make_annotations(votes, 10), None) == 2


@pytest.fixture(scope="module")
def finished(annotated_digits, tmp_path_factory):
    """The folder of a run on digits with a head on features, and its metrics."""
    folder = tmp_path_factory.mktemp("compared") / "run"
    given = ["run", annotated_digits.folder, "-c", ",".join("0123456789"), "--vlm", "glyphs", "--epochs", 4]
    cli.main([str(part) for part in [*given, "--student", "features", "-o", folder]])
    return folder, json.loads((folder / "metrics.json").read_text())


def test_a_run_compares_its_student_with_simpler_classifiers(finished):
    folder, metrics = finished
    names = [row["name"] for row in metrics["compared"]]
    assert names[0] == "zero-shot" and names[1].startswith("best prompt: ")
    assert names[2:] == [DISCRIMINANT, LOGISTIC, "student: coreg on features"]
    for row in metrics["compared"]:
        about = row["estimated_accuracy"]
        assert row["accuracy"] is None and about["images"] == "images set aside"
        assert about["known"] and 0 <= about["low"] <= about["estimate"] <= about["high"] <= 1
    assert metrics["compared"][0]["agreement"] == 1.0
    deployed = metrics["estimated_accuracy"][metrics["deployed"]]
    page, card = (folder / "report.html").read_text(), (folder / "README.md").read_text()
    assert f"{100 * deployed['low']:.0f} to {100 * deployed['high']:.0f}%" in page and "LDA on features" in page
    assert "Deployed is the" in page and "estimated without labels" in card
    assert metrics["unknown_images"] is None and metrics["deployment_reason"]


def test_the_end_of_a_run_says_what_is_known_and_what_is_deployed(finished):
    _, metrics = finished
    told = text_of({**metrics, "lifted_alarms": [{"stage": "train", "epoch": 4, "kind": "worse", "text": "is worse."}]})
    assert "not checked; check 50 images: zerolabel review" in told and "estimated " in told
    assert "lifted alarm" in told and "after epoch 5 of 'train' is worse." in told
    assert "no alarm was raised" in told
    blind = {**metrics["estimated_accuracy"]["student"], "known": False, "low": None, "high": None}
    assert "not known; check 50 images" in text_of({**metrics, "estimated_accuracy": {metrics["deployed"]: blind}})
    means = {f"{who}_mean_per_class_accuracy": 0.5 for who in ("student", "zero_shot")}
    truth = {"student_accuracy": 0.5, "zero_shot_accuracy": 0.6, "n_evaluated": 9, "evaluated_on": "held-out images"}
    assert "the student is below zero-shot: 50.00% against 60.00%" in text_of({**metrics, **means, **truth})


def text_of(metrics):
    """What the screen shows at the end."""
    console = Console(width=300)
    with console.capture() as shown:
        console.print(outcome(metrics, Path("out")))
    return shown.get()
