"""A run that is stopped leaves the classifier of its last finished stage."""

import json
import shutil

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from zerolabel import cli
from zerolabel.deployment.classifier import Classifier
from zerolabel.runs import cost
from zerolabel.runs.stages import training

CLASSES = ["--classes", ",".join("0123456789"), "--vlm", "glyphs", "--epochs", "2"]


class Stop(Exception):
    """Takes the place of a kill."""


@pytest.fixture
def images(annotated_digits, tmp_path):
    """The first 150 digits."""
    (tmp_path / "images").mkdir()
    for path in sorted(annotated_digits.folder.iterdir())[:150]:
        shutil.copy(path, tmp_path / "images")
    return tmp_path / "images"


@pytest.fixture
def run(images, tmp_path, monkeypatch):
    monkeypatch.setattr(cost, "LONG", 0.0)
    given = ["run", images, *CLASSES, "--cache", tmp_path / "cache", "-o", tmp_path / "run"]
    return lambda *more: cli.main([str(part) for part in (*given, *more)])


def answers(folder, images):
    """Of the deployed classifier in torch, and of the ONNX file beside it."""
    pixels = [np.asarray(Image.open(path).convert("RGB")) for path in sorted(images.iterdir())[:5]]
    session = onnxruntime.InferenceSession(folder / "classifier.onnx", providers=["CPUExecutionProvider"])
    by_onnx = np.concatenate([session.run(None, {"image": image[None]})[0] for image in pixels])
    return Classifier.load(folder).predict_proba(pixels).numpy(), by_onnx


def stopped_in(monkeypatch, stage):
    fit = training.fit_stage

    def until(workspace, name, *rest):
        if name == stage:
            raise Stop
        return fit(workspace, name, *rest)

    monkeypatch.setattr(training, "fit_stage", until)


def test_stopped_on_features_the_zero_shot_ensemble_is_deployed(run, images, annotated_digits, tmp_path, monkeypatch):
    few = ("--student", "features", "--epochs", "5")
    with monkeypatch.context() as patch:
        stopped_in(patch, "train on features")
        with pytest.raises(Stop):
            run(*few)
    by_torch, by_onnx = answers(tmp_path / "run", images)
    scores = annotated_digits.annotations.scores[:5].numpy()
    assert np.allclose(by_torch, by_onnx, atol=1e-4) and np.allclose(by_torch, scores, atol=0.05)
    assert Classifier.load(tmp_path / "run").provenance["learner"] is None
    run(*few, "--resume")
    assert Classifier.load(tmp_path / "run").provenance["learner"] == "coreg"


@pytest.mark.slow
def test_stopped_on_pixels_the_head_is_deployed(run, images, tmp_path, monkeypatch):
    stopped_in(monkeypatch, "train")
    with pytest.raises(Stop):
        run("--via", "features", "--epochs", "30")
    deployed = Classifier.load(tmp_path / "run")
    assert deployed.networks[0].spec.name == "mlp" and deployed.provenance["learner"] == "coreg"
    by_torch, by_onnx = answers(tmp_path / "run", images)
    assert np.allclose(by_torch, by_onnx, atol=1e-4)


@pytest.mark.slow
def test_a_sound_head_takes_the_place_of_a_student_that_went_wrong(run, tmp_path, capsys):
    more = ["--method", "cross_entropy", "--student", "light", "--via", "features", "--epochs", "1", "--json"]
    run(*more, "--set", "lr=1e-6")
    metrics = json.loads(capsys.readouterr().out)
    assert metrics["deployed"] == "student" and "takes the place of" in metrics["student_replaced"]
    assert Classifier.load(tmp_path / "run").networks[0].spec.name == "mlp"
    times = metrics["time"]
    assert times["stages"]["train"]["estimated"] > 0 and times["stages"]["train"]["measured"] > 0
    assert times["measured_over_estimated"] == times["measured_seconds"] / times["estimated_seconds"]
