"""Answers, a training on them, and a look at what changed, in rounds."""

import json
import shutil

import pandas as pd
import pytest
from PIL import Image

from zerolabel.annotations import Annotations
from zerolabel.data.answers import RANDOM, TAUGHT, read_answers
from zerolabel.report.improved import build_improvement
from zerolabel.runs.improvement import Round, best_of


def rounds(*outcomes):
    return [Round(i, f"round-{i}", 10 * i, 0, "student", better=one) for i, one in enumerate(outcomes)]


@pytest.mark.parametrize(
    ("outcomes", "best"),
    [((None,), 0), ((None, None), 1), ((None, "older"), 0), ((None, "newer", "older", "neither"), 3)],
)
def test_a_round_that_is_worse_is_not_gone_on_with(outcomes, best):
    assert best_of(rounds(*outcomes)).number == best


def test_the_page_draws_the_accuracy_by_labels():
    record = {
        "best": 1,
        "plan": {"check": 40, "teach": 10, "changed": 5},
        "rounds": [
            {"number": i, "folder": f"r{i}", "labels": 10 * i, "answers": 40, "deployed": "student"}
            | {"accuracy": 0.8 + i / 10, "low": 0.7, "high": 0.95, "better": None if i == 0 else "newer"}
            for i in range(2)
        ],
    }
    page = build_improvement(record)
    assert "<svg" in page and "round 1, best" in page and "90.0% of its answers are right" in page
    record["rounds"][1]["accuracy"] = record["rounds"][1]["low"] = None
    assert "its accuracy is not measured" in build_improvement(record)


@pytest.fixture(scope="module")
def run(tmp_path_factory, annotated_digits):
    """A run on 100 digits with 60 held out, by a learner that was hardly trained."""
    from zerolabel import cli

    folder = tmp_path_factory.mktemp("improve")
    names = annotated_digits.annotations.file_names
    for part, some in (("train", names[:100]), ("test", names[100:160])):
        (folder / part).mkdir()
        for name in some:
            Image.open(annotated_digits.folder / name).save(folder / part / name)
    more = ["--test", folder / "test", "--cache", folder / "cache", "--epochs", 1]
    given = ["run", folder / "train", "-c", ",".join("0123456789"), "--vlm", "glyphs", "-o", folder / "run", *more]
    cli.main([str(part) for part in given])
    return folder / "run"


def test_a_round_learns_the_answers_that_teach_and_is_measured_by_the_others(run, annotated_digits, tmp_path, call):
    out, cache = tmp_path / "better", run.parent / "cache"
    before = (run / "metrics.json").read_text()
    given = ["improve", run, "-o", out, "-n", 12, "--check", 30, "--changed", 5, "--cache", cache, "--json"]
    code, text, err = call(*given, "--answers", annotated_digits.truth_file)
    assert code == 0, err
    record = json.loads(text)
    assert [one["labels"] for one in record["rounds"]] == [0, 12] and record == json.loads(
        (out / "improve.json").read_text()
    )
    answers = read_answers(out / "answers.csv") or ()
    taught = {a.file_name for a in answers if a.why == TAUGHT}
    random = {a.file_name for a in answers if a.why == RANDOM}
    assert len(taught) == 12 and len(random) == 30 and not taught & random
    learned = Annotations.load(out / "round-1" / "annotations.parquet")
    labeled = {name for name, human in zip(learned.file_names, learned.human.tolist(), strict=True) if human}
    assert labeled == taught == set(pd.read_csv(out / "labels-1.csv", dtype=str)["file_name"])
    metrics = json.loads((out / "round-1" / "metrics.json").read_text())
    assert metrics["review"]["n_answers"] == 30 and metrics["review"]["low"] == record["rounds"][1]["low"]
    assert "Every round" in (out / "improve.html").read_text() and (run / "metrics.json").read_text() == before

    code, text, _ = call(*given, "--answers", annotated_digits.truth_file)
    assert code == 0 and json.loads(text) == record  # nothing is trained or asked again
    code, _, err = call("improve", out / "round-1", "-o", out, "--answers", annotated_digits.truth_file)
    assert code == 2 and "give -o another folder" in err


def test_without_an_answer_that_teaches_nothing_is_trained(run, tmp_path, call):
    (tmp_path / "none.csv").write_text("file_name,label\nnothing.png,1\n")
    code, _, err = call("improve", run, "-o", tmp_path / "out", "--answers", tmp_path / "none.csv")
    assert code == 2 and "name no image" in err
    names = Annotations.load(run / "annotations.parquet").file_names
    (tmp_path / "unsure.csv").write_text("file_name,label\n" + "".join(f"{name},unsure\n" for name in names))
    code, _, err = call("improve", run, "-o", tmp_path / "out", "-n", 3, "--answers", tmp_path / "unsure.csv")
    assert code == 2 and "no answer names the class" in err and not (tmp_path / "out" / "round-1").exists()


def test_what_is_no_run_cannot_be_improved(tmp_path, call, make_annotations):
    code, _, err = call("improve", tmp_path, "-o", tmp_path / "out")
    assert code == 2 and "holds no run" in err


@pytest.mark.parametrize("change", ["content", "name", "held-out content", "one less", "one more"])
def test_images_that_changed_since_the_first_round_are_refused(run, tmp_path, call, change):
    for name in ("run", "train", "test"):
        shutil.copytree(run.parent / name, tmp_path / name)
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    config |= {"images": str(tmp_path / "train"), "test_images": str(tmp_path / "test")}
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    given = ["improve", tmp_path / "run", "-o", tmp_path / "better", "--cache", run.parent / "cache"]
    code, _, err = call(*given, "--answers", tmp_path / "none.csv")
    assert code == 2 and (tmp_path / "better" / "improve.json").is_file(), err
    first, second = sorted((tmp_path / ("test" if "held-out" in change else "train")).iterdir())[:2]
    if "content" in change:
        first.write_bytes(second.read_bytes())
    elif change == "one more":
        shutil.copy(first, first.with_name("new.png"))
    else:
        first.rename(first.with_name("other.png")) if change == "name" else first.unlink()
    code, _, err = call(*given, "--answers", tmp_path / "none.csv")
    told = "are not in" if change in ("name", "one less") else "changed since"
    assert code == 2 and told in err and err.count("error: ") == 1 and "Traceback" not in err
