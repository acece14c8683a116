"""What `run` deploys: the annotating model where alarms call the student worse."""

import json

import pytest
import tiny_clip

from zerolabel import cli
from zerolabel.deployment.classifier import Classifier


def test_an_untrained_student_is_not_deployed(annotated_digits, tmp_path, capsys):
    given = ["run", annotated_digits.folder, "--classes", ",".join("0123456789"), "--vlm", "glyphs", "--epochs", 1]
    more = ["--student", "light", "--method", "cross_entropy", "--set", "lr=1e-6", "--cache", tmp_path / "cache"]
    cli.main([str(part) for part in [*given, *more, "-o", tmp_path / "run", "--json"]])
    metrics = json.loads(capsys.readouterr().out)
    assert metrics["deployed"] == "zero-shot" and metrics["fallback_reason"]
    assert {alarm["kind"] for alarm in metrics["alarms"]} >= {"worse"}
    deployed, student = Classifier.load(tmp_path / "run" / "classifier"), Classifier.load(tmp_path / "run" / "student")
    p = deployed.predict_proba(annotated_digits.folder)
    assert float((p.argmax(1) == annotated_digits.annotations.scores.argmax(1)).float().mean()) > 0.99
    assert student.n_parameters == metrics["student_parameters"]
    for page in ("report.html", "README.md"):
        assert "zero-shot ensemble" in (tmp_path / "run" / page).read_text(), page
    assert metrics["onnx"]["agreement"] == pytest.approx(1.0)


def test_of_several_models_the_one_that_the_votes_call_best_is_deployed(annotated_digits, tmp_path, capsys):
    """A small CLIP of random weights beside glyphs, whose prompts agree with each other."""
    given = ["run", annotated_digits.folder, "--classes", ",".join("0123456789"), "--epochs", 1]
    more = [
        "--vlm",
        tiny_clip.write(tmp_path / "clip"),
        "--vlm",
        "glyphs",
        "--student",
        "light",
        "--method",
        "cross_entropy",
    ]
    where = ["--set", "lr=1e-6", "--cache", tmp_path / "cache", "-o", tmp_path / "run", "--json"]
    cli.main([str(part) for part in [*given, *more, *where]])
    metrics = json.loads(capsys.readouterr().out)
    assert metrics["deployed"] == "zero-shot" and "Of the models, glyphs is" in metrics["fallback_reason"]
    deployed = Classifier.load(tmp_path / "run" / "classifier")
    assert list(deployed.provenance["templates"]) == ["glyphs"]
    p = deployed.predict_proba(annotated_digits.folder)
    assert float((p.argmax(1) == annotated_digits.annotations.scores.argmax(1)).float().mean()) > 0.99
