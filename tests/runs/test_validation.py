"""Labels that a learner did not see validate it: what is hidden from it, and what follows in a run."""

import json
import math
import shutil
import statistics

import numpy as np
import pytest
import torch

from zerolabel import cli
from zerolabel.adaptation.few_shot.linear_probe import linear_probe
from zerolabel.annotate import Annotated
from zerolabel.annotations.candidates import parse_rule
from zerolabel.data.images import ImageSet
from zerolabel.data.views import Features
from zerolabel.deployment.classifier import Classifier
from zerolabel.networks import build
from zerolabel.runs import presets
from zerolabel.runs.config import IMITATION, TrainingConfig
from zerolabel.runs.cost import AVERAGING, LEARNING
from zerolabel.runs.prepare import prepare
from zerolabel.runs.stages.scores import averaged, stacked_with_labels
from zerolabel.runs.stages.training import refine_annotations, train_head
from zerolabel.runs.stages.validation import averaging_gain, half, pool, validate, without
from zerolabel.training.fitting import Trained
from zerolabel.training.loop import make_fabric, predict, train
from zerolabel.training.settings import Settings
from zerolabel.training.validation import Validation


@pytest.fixture
def made(make_annotations, digit_features):
    """1,000 digits as features, an annotator that is right on 60%, and 60 labels."""
    features, truth = digit_features
    return drawn(make_annotations, features, truth, 0.6, 6)


@pytest.fixture
def digit_features():
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return torch.nn.functional.normalize(torch.from_numpy(x[:1000]).float(), dim=1), torch.from_numpy(y[:1000])


def drawn(make_annotations, features, truth, accuracy, per_class):
    random = np.random.default_rng(0)
    vote = torch.from_numpy(np.where(random.random(len(truth)) < accuracy, truth, random.integers(0, 10, len(truth))))
    labels = torch.full_like(truth, -1)
    for c in range(10):
        rows = (truth == c).nonzero().squeeze(1)[:per_class]
        labels[rows] = c
    given = make_annotations(vote[:, None], 10)
    given = given.with_candidates(parse_rule("union")(given), "union").with_labels(labels)
    return given, features, truth


def test_half_of_the_labels_of_each_class_are_hidden_and_leave_no_trace(made):
    given, _, _ = made
    hidden = half(given.labels, 0)
    assert torch.equal(torch.bincount(given.labels[hidden], minlength=10), torch.full((10,), 3))
    assert torch.equal(hidden, half(given.labels, 0)) and not torch.equal(hidden, half(given.labels, 1))
    seen = without(given, hidden)
    assert (seen.labels[hidden] == -1).all() and int(seen.human.sum()) == 30
    assert torch.equal(seen.candidates[hidden].float().argmax(1), seen.votes[hidden, 0])
    others = torch.ones(len(given), dtype=torch.bool).index_fill(0, hidden, False)
    assert torch.equal(seen.candidates[others], given.candidates[others])


def test_a_learner_loses_to_the_stacked_scores_or_does_not(made):
    given, features, truth = made
    scores = stacked_with_labels(without(given, half(given.labels, 0)), features).scores
    asked = []

    def learn(said, rows):
        asked.append((said, rows))
        return scores[rows]

    fair = validate(given, features, learn, 0)
    assert fair is not None and fair.learner == fair.stacked and not fair.loses and fair.images == 30
    said, rows = asked[0]
    assert len(rows) == 1000 and int(said.human.sum()) == 30 and torch.equal(said.scores, scores)
    constant = validate(given, features, lambda said, rows: torch.eye(10)[torch.zeros_like(rows)], 0)
    assert constant is not None and constant.loses and constant.learner == 3
    assert constant.differing >= constant.stacked - constant.learner
    right = validate(given, features, lambda said, rows: torch.eye(10)[truth[rows]], 0)
    assert right is not None and right.learner == 30 and not right.loses


def test_averaging_gains_where_labels_become_likelier():
    kept, probe = torch.tensor([[0.8, 0.2], [0.1, 0.9], [0.0, 1.0]]), torch.tensor([[0.6, 0.4], [0.5, 0.5], [0.2, 0.8]])
    gain, error = averaging_gain(kept, probe, torch.tensor([0, 0, 0]))
    added = [math.log(0.7 / 0.8), math.log(0.3 / 0.1), math.log(0.1 / 1e-6)]
    assert gain == pytest.approx(statistics.mean(added), rel=1e-5)
    assert error == pytest.approx(statistics.stdev(added) / math.sqrt(3), rel=1e-5)


@pytest.mark.parametrize(("kept", "probe", "averages"), [(0.9, 0.9, True), (0.9, 0.2, False), (0.3, 0.9, True)])
def test_labels_alone_are_averaged_with_what_is_not_better(made, monkeypatch, kept, probe, averages):
    given, features, truth = made

    def likely(p, rows):
        return torch.full((len(rows), 10), (1 - p) / 9).scatter(1, truth[rows, None], p)

    monkeypatch.setattr(
        "zerolabel.runs.stages.validation.labels_alone", lambda said, x: likely(probe, torch.arange(len(x)))
    )
    found = validate(given, features, lambda said, rows: likely(kept, rows), 0)
    assert found is not None and found.probe == 30 and found.averages == averages == found.replaces
    assert found.gain == pytest.approx(math.log((kept + probe) / 2 / kept), rel=1e-4)
    told = found.replacement("coreg")
    assert ("the mean of coreg and of a linear probe on the labels" in told) == averages


@pytest.mark.parametrize(("loses", "averages"), [(False, False), (True, False), (False, True), (True, True)])
def test_what_takes_the_place_of_a_learner_imitates_what_was_kept(made, annotated_digits, monkeypatch, loses, averages):
    given, features, _ = made
    held = Annotated(given, ImageSet.open(annotated_digits.folder), features, (), 0.0, None)
    found = Validation(30, 20, 29 if loses else 20, 9, 20, 0.1 if averages else -0.9, 0.2)
    assert (found.loses, found.averages) == (loses, averages)
    monkeypatch.setattr("zerolabel.runs.stages.training.validate", lambda *_: found)
    p, calls = torch.rand(1000, 10).softmax(1), []

    def fitted(training, annotated, aside, stage):
        calls.append((stage, training.learner, annotated.annotations))
        return Trained((), (p.log(),), None, None)

    training = TrainingConfig("coreg", {}, {"seed": 0}, "mlp", 0, stack=True)
    taught = refine_annotations(training, held)
    heads = train_head(fitted, training, held, taught, torch.zeros(0, dtype=torch.long))
    assert heads.validation is found
    assert [call[:2] for call in calls] == [
        (LEARNING, IMITATION if loses else "coreg"), *([(AVERAGING, IMITATION)] if averages else [])
    ]  # fmt: skip
    if averages:
        shots = features[given.human], given.labels[given.human]
        probe = linear_probe(*shots, torch.zeros(10, features.shape[1]), 1.0)(features).softmax(1)
        torch.testing.assert_close(calls[1][2].scores, (p + probe) / 2)


def test_too_few_labels_validate_nothing_and_a_large_pool_is_cut(made, monkeypatch):
    given, features, _ = made
    few = given.with_labels(torch.where(torch.arange(1000) < 15, given.labels, -1))
    assert validate(few, features, lambda said, rows: pytest.fail("nothing is to be trained"), 0) is None
    monkeypatch.setattr("zerolabel.runs.stages.validation.MOST_VALIDATED", 100)
    rows = pool(given.labels, 0)
    assert len(rows) == 100 and int((given.labels[rows] >= 0).sum()) == 60
    assert torch.equal(rows, rows.unique())


def trained(said, features, learner):
    torch.manual_seed(0)
    network = build("mlp", 10, features.shape[1])
    preset = presets.for_head(presets.choose(len(said)), len(said), 10, epochs=20)
    made, settings = prepare(learner, network, said, preset=preset, seed=0, device="cpu", precision="float32")
    for _ in train(made, Features(features), settings):
        pass
    return predict(made.network, Features(features), make_fabric(Settings(device="cpu")), 512)


@pytest.mark.slow
@pytest.mark.parametrize(("accuracy", "per_class"), [(0.4, 4), (0.4, 16), (0.7, 16), (0.98, 4)])
def test_the_head_that_is_kept_is_not_below_labels_alone(make_annotations, digit_features, accuracy, per_class):
    given, features, truth = drawn(make_annotations, *digit_features, accuracy, per_class)
    rest = given.labels < 0
    shots = (features[~rest], given.labels[~rest])
    alone = linear_probe(*shots, torch.zeros(10, features.shape[1]), 1.0)(features)
    validation = validate(given, features, lambda said, rows: trained(said, features[rows], "coreg"), 0)
    learner = IMITATION if validation is not None and validation.loses else "coreg"
    taught = stacked_with_labels(given, features)
    kept = trained(taught, features, learner)
    if validation is not None and validation.averages:
        kept = trained(averaged(taught, kept, features), features, IMITATION)
    right = [float((p.argmax(1) == truth)[rest].float().mean()) for p in (kept, alone)]
    assert right[0] >= right[1] - 0.005


@pytest.mark.slow
def test_a_run_replaces_a_learner_that_loses_what_labels_say(annotated_digits, tmp_path, capsys):
    paths = sorted(annotated_digits.folder.iterdir())[:300]
    (tmp_path / "images").mkdir()
    for path in paths:
        shutil.copy(path, tmp_path / "images")
    rows = [f"{path.name},{annotated_digits.truth[i]}" for i, path in enumerate(paths[:80])]
    (tmp_path / "few.csv").write_text("\n".join(["file_name,label", *rows]))
    given = ["run", tmp_path / "images", "--classes", ",".join("0123456789"), "--vlm", "glyphs", "--epochs", "20"]
    given += ["--student", "features", "--few-shot", tmp_path / "few.csv", "--cache", tmp_path / "cache", "--json"]
    cli.main([*map(str, given), "-o", str(tmp_path / "sound")])
    sound = json.loads(capsys.readouterr().out)
    validation = Validation(**sound["label_validation"])
    assert validation.images >= 30 and not validation.loses
    assert ("the mean of coreg and of a linear probe" in (sound["student_replaced"] or "")) == validation.averages
    learner = IMITATION if validation.averages else "coreg"
    assert Classifier.load(tmp_path / "sound").provenance["learner"] == learner
    cli.main([*map(str, given), "-o", str(tmp_path / "wrong"), "--set", "lr=1e-6"])  # learns next to nothing
    metrics = json.loads(capsys.readouterr().out)
    validation = metrics["label_validation"]
    assert validation["learner"] < validation["stacked"] and "takes the place of coreg" in metrics["student_replaced"]
    moved = tmp_path / "wrong" / "student"
    assert Classifier.load(moved if moved.is_dir() else tmp_path / "wrong").provenance["learner"] == IMITATION
    assert any(row["name"].startswith("student: distillation") for row in metrics["compared"])
