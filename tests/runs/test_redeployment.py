"""What a run deploys once a person looked, and by what it says so."""

import json

import pandas as pd
import pytest

from zerolabel import cli
from zerolabel.deployment.classifier import Classifier
from zerolabel.runs.redeployment import found_better


def verdict(better, pair=("student", "zero-shot")):
    return {"pair": list(pair), "better": better, "answers": 20, "first": 3, "second": 15}


def measured(low, high, **more):
    return {"low": low, "high": high, "n_answers": 50, **more}


@pytest.mark.parametrize(
    ("metrics", "better"),
    [
        ({}, None),
        ({"review_verdict": verdict(None)}, None),
        ({"review_verdict": verdict("neither")}, None),
        ({"review_verdict": verdict("second")}, "zero-shot"),
        ({"review_verdict": verdict("second", ("zero-shot", "student"))}, "student"),
        ({"review": measured(0.6, 0.7), "review_other": measured(0.65, 0.8, of="zero-shot")}, None),
        ({"review": measured(0.6, 0.7), "review_other": measured(0.71, 0.8, of="zero-shot")}, "zero-shot"),
        (
            {"deployed": "zero-shot", "review": measured(0.6, 0.7), "review_other": measured(0.71, 0.8, of="student")},
            "student",
        ),
    ],
)
def test_the_answers_decide_by_the_exact_test_or_by_intervals_apart(metrics, better):
    found = found_better(metrics)
    assert (found and found[0]) == better
    assert found is None or "A person checked" in found[1]


def test_answers_overrule_alarms_in_both_directions(annotated_digits, tmp_path, capsys):
    """Alarms deploy zero-shot in the place of an untrained student; answers that fit either one decide from then on."""
    given = ["run", annotated_digits.folder, "--classes", ",".join("0123456789"), "--vlm", "glyphs", "--epochs", 1]
    more = ["--student", "light", "--method", "cross_entropy", "--set", "lr=1e-6", "--cache", tmp_path / "cache"]
    run = tmp_path / "run"
    cli.main([str(part) for part in [*given, *more, "-o", run]])
    before = json.loads((run / "metrics.json").read_text())
    assert (before["deployed"], before["deployed_by"]) == ("zero-shot", "alarms")
    predictions = pd.read_parquet(run / "predictions.parquet")
    for name, column in (("student", "student"), ("zero-shot", "zero_shot")):
        told = predictions[["file_name", column]].rename(columns={column: "label"})
        told.to_csv(tmp_path / "told.csv", index=False)
        review = ["review", run, "--answers", tmp_path / "told.csv", "--question", "compare", "--question", "measure"]
        cli.main([str(part) for part in [*review, "--reviewer", "anna", "--cache", tmp_path / "cache"]])
        said = " ".join(capsys.readouterr().out.split())
        metrics = json.loads((run / "metrics.json").read_text())
        assert (metrics["deployed"], metrics["deployed_by"]) == (name, "review")
        assert "A person checked" in metrics["deployment_reason"] and metrics["deployment_reason"] in said
        assert metrics["review"]["accuracy"] == 1 and metrics["review_other"]["of"] != name
        p = Classifier.load(run / "classifier").predict_proba(annotated_digits.folder)
        classes = [str(c) for c in p.argmax(1).tolist()]
        assert (pd.Series(classes) == predictions[column]).mean() > 0.99
        assert "by a person" in (run / "README.md").read_text() or name == "zero-shot"
        assert "A person checked" in (run / "report.html").read_text()
        (run / "review" / "answers.csv").unlink()
