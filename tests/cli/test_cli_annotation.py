"""Commands that make, join and change annotations: of handwritten digits, by glyphs and a tiny model of open_clip."""

import csv
import json

import pandas as pd
import pytest
import tiny_clip
import torch
from PIL import Image
from sklearn.datasets import load_digits

from zerolabel.annotations import Annotations, candidates

CLASSES = ["--classes", "0,1,2,3,4,5,6,7,8,9"]
N = 24


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Digits in two folders that share some, a model of random weights, and annotations of each model and of both."""
    root = tmp_path_factory.mktemp("annotation")
    for name, rows in (("images", range(N)), ("more", range(16, 32))):
        (root / name).mkdir()
        for i in rows:
            Image.fromarray((load_digits().images[i] * 15.9).astype("uint8")).save(root / name / f"{i:02d}.png")
    (root / "images" / "broken.png").write_bytes(b"no image")
    tiny_clip.write(root / "model")
    return root


@pytest.fixture(autouse=True)
def here(world, monkeypatch):
    monkeypatch.chdir(world)


MODELS = {"glyphs": ["glyphs"], "tiny": ["open_clip:model"], "both": ["glyphs", "open_clip:model"]}


@pytest.fixture
def annotated(call, world):
    """The annotations of each choice of models, made once."""
    for name, models in MODELS.items():
        if not (world / name).exists():
            chosen = [word for model in models for word in ("--vlm", model)]
            code, _, said = call("annotate", "images", *CLASSES, *chosen, "-o", name, "--cache", "cache")
            assert code == 0, said
    return world


def test_runs_of_two_models_merged_are_one_run_with_both(annotated, call):
    code, printed, said = call("merge", "glyphs", "tiny/annotations.parquet", "-o", "merged.parquet", "--json")
    assert code == 0, said
    facts = json.loads(printed)
    assert (facts["n_images"], facts["n_annotators"], facts["rule"]) == (N, 16, "union")
    once = Annotations.load("both/annotations.parquet")
    merged = Annotations.load("merged.parquet")
    for name in ("votes", "scores", "candidates", "labels", "sizes"):
        assert torch.equal(getattr(once, name), getattr(merged, name)), name
    for name in ("classes", "file_names", "sha256", "annotators", "rule"):
        assert getattr(once, name) == getattr(merged, name), name
    assert [one.model for one in once.annotators] == ["glyphs"] * 8 + ["open_clip:model"] * 8
    parts = [Annotations.load(f"{name}/annotations.parquet") for name in ("glyphs", "tiny")]
    assert torch.allclose(once.scores, (parts[0].scores + parts[1].scores) / 2, atol=1e-6)
    assert (annotated / "both" / "skipped.csv").read_text() == (annotated / "glyphs" / "skipped.csv").read_text()
    assert "broken.png" in (annotated / "both" / "skipped.csv").read_text()
    assert sorted(path.name for path in (annotated / "both").iterdir()) == [
        *("annotations.parquet", "config.json", "skipped.csv", "stages.json"),
    ]


def test_annotators_and_images_are_appended(annotated, call):
    tiny = ["--vlm", "open_clip:model", "--cache", "cache"]
    code, printed, said = call("annotate", "images", "--append", "glyphs", *tiny, "-o", "appended")
    assert code == 0, said
    assert "glyphs x 8 prompts, open_clip:model x 8 prompts" in printed
    appended, once = (Annotations.load(f"{name}/annotations.parquet") for name in ("appended", "both"))
    for name in ("votes", "scores", "candidates"):
        assert torch.equal(getattr(appended, name), getattr(once, name)), name
    code, _, said = call("annotate", "more", "--append", "glyphs", "--vlm", "glyphs", "--cache", "cache", "-o", "grown")
    assert code == 0, said
    grown = Annotations.load("grown/annotations.parquet")
    assert grown.file_names == tuple(f"{i:02d}.png" for i in range(32))
    assert len(grown.annotators) == 8 and bool((grown.votes >= 0).all())
    before = (annotated / "glyphs" / "annotations.parquet").read_bytes()
    code, _, said = call("annotate", "more", "--append", "glyphs", "--vlm", "glyphs", "-o", "glyphs", "--overwrite")
    assert code == 2 and "give -o another one, so that it stays" in said
    assert (annotated / "glyphs" / "annotations.parquet").read_bytes() == before


@pytest.mark.parametrize("rule", ["votes:3", "topk:2", "quantile:0.6,0.3", "posterior:0.9,majority"])
def test_candidates_are_formed_anew_without_a_model(annotated, call, rule):
    code, printed, said = call(
        "candidates", "both", "--candidates", rule, "-o", "again.parquet", "--overwrite", "--json"
    )
    assert code == 0, said
    before, after = Annotations.load("both/annotations.parquet"), Annotations.load("again.parquet")
    assert torch.equal(after.candidates, candidates.parse_rule(rule)(before))
    assert (after.rule, torch.equal(after.scores, before.scores)) == (rule, True)
    facts = json.loads(printed)
    assert facts["n_changed"] == int((before.candidates != after.candidates).any(1).sum())
    assert facts["after"]["n_without_candidates"] == int((after.candidates.sum(1) == 0).sum())
    assert (facts["before"]["rule"], facts["after"]["rule"]) == ("union", rule)


def test_corrections_come_back_as_human_labels(annotated, call, world):
    with (world / "fixed.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("file_name", "label"), ("00.png", "7"), ("01.png", ""), ("broken.png", "1")])
    code, printed, said = call("candidates", "both", "--few-shot", "fixed.csv", "-o", "corrected")
    assert code == 0, said
    assert "human labels" in printed and "corrected/annotations.parquet" in printed
    after = Annotations.load("corrected/annotations.parquet")
    assert after.labels.tolist() == [7] + [-1] * (N - 1)
    assert after.candidates[0].nonzero().tolist() == [[7]]
    assert after.rule == "union"
    (world / "fixed.csv").write_text("file_name,label\n00.png,3\n")
    code, _, said = call("candidates", "corrected", "--few-shot", "fixed.csv", "--candidates", "topk:2", "-o", "twice")
    assert code == 0, said
    assert Annotations.load("twice/annotations.parquet").candidates.sum(1).tolist() == [1] + [2] * (N - 1)
    code, _, said = call("merge", "corrected", "twice", "-o", "no.parquet")
    assert code == 2 and "people disagree about 00.png, which is '7' in corrected and '3' in twice" in said


def test_a_pixel_student_trains_on_several_models_and_needs_none_of_them(annotated, call, monkeypatch):
    monkeypatch.setattr("zerolabel.vlms.load", None)
    monkeypatch.setattr("zerolabel.vlms.is_cached", lambda model: False)
    few = ["--method", "cross_entropy", "--epochs", 1, "--student", "light", "--size", 16, "-o", "pixels"]
    code, _, said = call("train", "images", "both", *few)
    assert code == 0, said
    assert "glyphs x 8 prompts + open_clip:model x 8 prompts" in said
    card = (annotated / "pixels" / "README.md").read_text()
    assert "models glyphs (8 prompts) and open_clip:model (8 prompts) classified" in card.replace("\\", "")
    page = (annotated / "pixels" / "report.html").read_text()
    assert "open_clip:model, license" in page and "glyphs, license" in page


def test_a_run_of_several_models_says_how_right_each_prompt_was(annotated, call, world):
    with (world / "truth.csv").open("w", newline="") as file:
        rows = [(f"{i:02d}.png", load_digits().target[i]) for i in range(32)]
        csv.writer(file).writerows([("file_name", "label"), *rows])
    models = ["--vlm", "open_clip:model", "--vlm", "glyphs", "--templates", "a {}"]
    more = ["--student", "linear", "--epochs", 1, "--truth", "truth.csv", "--test", "more", "--cache", "cache"]
    code, printed, said = call("run", "images", *CLASSES, *models, *more, "--dry-run", "--json")
    assert code == 2 and "-o" in said
    code, printed, said = call("run", "images", *CLASSES, *models, *more, "-o", "run", "--dry-run", "--json")
    assert code == 0, said
    plan = json.loads(printed)
    assert (plan["vlm"], plan["encoder"]) == (["open_clip:model", "glyphs"], "open_clip:model")
    assert plan["forecast"]["seconds"]["annotate"] > 0
    code, printed, said = call("run", "images", *CLASSES, *models, *more, "-o", "run", "--json")
    assert code == 0, said
    metrics = json.loads(printed)
    assert list(metrics["zero_shot_accuracy_per_template"]) == ["open_clip:model: a {}", "glyphs: a {}"]
    assert metrics["zero_shot_accuracy_per_template"]["glyphs: a {}"] > 0.5
    assert len(pd.read_parquet(world / "run" / "test_annotations.parquet")) == 16
    config = json.loads((world / "run" / "classifier" / "config.json").read_text())
    assert config["provenance"]["templates"] == {"open_clip:model": ["a {}"], "glyphs": ["a {}"]}
    code, _, said = call("run", "images", *CLASSES, *models[2:], *more, "-o", "run", "--resume")
    assert code == 2 and "another --vlm" in said


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("merge glyphs -o x", "glyphs is alone; give two or more annotations to merge"),
        ("merge glyphs nowhere -o x", "there is no annotations file nowhere"),
        ("merge glyphs tiny -o both", "both/annotations.parquet exists; give --overwrite"),
        (
            "merge glyphs tiny --candidates vote -o x",
            "--candidates vote: there is no rule 'vote'; did you mean 'votes'",
        ),
        ("candidates glyphs -o x", "there is nothing to do; give --candidates"),
        ("candidates glyphs --candidates votes:none -o x", "--candidates votes:none: 'none' is not a whole number"),
        ("candidates glyphs --few-shot none.csv -o x", "there are no labels none.csv"),
        ("annotate images -o x", "give --classes"),
        ("annotate images --append nowhere -o x", "there is no annotations file nowhere"),
        ("train images both --student features --vlm other -o x", "--vlm other: unknown model"),
    ],
)
def test_mistakes_are_one_sentence_and_leave_nothing(annotated, call, world, command, message):
    code, printed, said = call(*command.split())
    assert (code, printed) == (2, "")
    assert message in said
    assert not (world / "x").exists()
