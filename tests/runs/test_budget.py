"""A student and epochs that fit into a time."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from zerolabel import cli
from zerolabel.errors import InputError
from zerolabel.runs import cost
from zerolabel.runs.config import Config
from zerolabel.runs.cost import Machine, forecast
from zerolabel.runs.planning import budget, draft
from zerolabel.runs.planning.budget import as_begun, parse_time
from zerolabel.runs.request import Request
from zerolabel.runs.stages import training

ONE = Machine("cpu", 1, "float32", 1.0)
CLIP = "open_clip:ViT-B-32/openai"


@pytest.fixture
def photographs(tmp_path, monkeypatch):
    for module in (cost, budget):
        monkeypatch.setattr(module, "this_machine", lambda *_: ONE)
    (tmp_path / "images").mkdir()
    for i in range(400):
        pixels = np.random.default_rng(i).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((160, 160)).save(tmp_path / "images" / f"{i}.jpg")
    return str(tmp_path / "images")


def planned(images, time, **said):
    return draft(Request(images, "a,b", **{"vlm": CLIP, "time": time, **said}))


@pytest.mark.parametrize("text", ["20", "m", "20 m", "-5m", "1h30", "10s", "40d", "soon", ""])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(InputError, match="--time"):
        parse_time(text)


def test_times_are_read():
    assert [parse_time(text) for text in ("90s", "20m", "1h30m", "1.5h", "2d", "5min")] == [
        *(90, 1200, 5400, 5400, 172_800, 300)
    ]


def test_more_time_buys_more_and_the_plan_fits(photographs):
    found = [planned(photographs, time) for time in ("3m", "8m", "30m", "10h", "20d")]
    for config, seconds in zip(found, (180, 480, 1800, 36_000, 1_728_000), strict=True):
        assert config.training.time == seconds and forecast(config).total <= seconds
        assert config.preset.count("--time") == 1
    steps = [budget.training_seconds(one, budget.ImageSet.open(photographs)) for one in found]
    assert steps == sorted(steps) and steps[0] < steps[-1]
    assert found[0].training.student == "mlp" or found[0].training.size < 224
    last = found[-1].training
    assert (last.student, last.size, last.settings["epochs"]) == ("resnet18", 224, 225)
    assert "more time would buy nothing" in found[-1].preset and "in about" in found[1].preset


def test_what_the_user_says_stays(photographs):
    named = planned(photographs, "30m", student="light", size=32).training
    assert (named.student, named.size) == ("light", 32)
    assert planned(photographs, "30m", epochs=7).training.settings["epochs"] == 7
    sized = planned(photographs, "10m", size=64).training
    assert sized.size == 64 or sized.student == "mlp"


def test_automatic_time_is_ten_minutes_of_training(photographs):
    config = planned(photographs, "auto")
    assert budget.training_seconds(config, budget.ImageSet.open(photographs)) <= budget.AUTO
    assert "about ten minutes of training" in config.preset


def test_too_short_a_time_says_what_it_takes(photographs):
    with pytest.raises(InputError, match="give at least"):
        planned(photographs, "30s")


def test_where_speeds_are_not_known_the_schedule_alone_is_limited(photographs, monkeypatch):
    monkeypatch.setattr(cost, "this_machine", lambda *_: Machine("cuda", 1, "bfloat16", 1.0))
    config = planned(photographs, "20m")
    assert config.training.time == 1200 and "epochs are left out" in config.preset


def test_a_resumed_run_keeps_what_was_chosen(photographs):
    first, now = planned(photographs, "auto"), planned(photographs, "auto", epochs=3)
    assert as_begun(now, first).training == first.training
    free = replace(now, training=replace(now.training, asked_time=None))
    assert as_begun(free, first) is free


@pytest.fixture
def call(annotated_digits, tmp_path):
    (tmp_path / "images").mkdir()
    for path in sorted(annotated_digits.folder.iterdir())[:200]:
        shutil.copy(path, tmp_path / "images")
    given = ["run", tmp_path / "images", "-c", ",".join("0123456789"), "--vlm", "glyphs", "--time", "5m"]
    given += ["--student", "features", "--epochs", 30, "--cache", tmp_path / "cache", "-o", tmp_path / "run"]
    return lambda *more: cli.main([str(part) for part in (*given, *more)])


class Stop(Exception):
    """Takes the place of a kill."""


def test_a_run_that_is_out_of_time_finishes_its_schedule_and_resumes(call, tmp_path, monkeypatch):
    given = training.stage_limit
    monkeypatch.setattr(training, "stage_limit", lambda *rest: replace(given(*rest), seconds=1e-6))
    with monkeypatch.context() as patch:

        def stopped(*rest):
            raise Stop

        patch.setattr("zerolabel.runs.pipeline.evaluate_best", stopped)
        with pytest.raises(Stop):
            call()
    call("--resume")
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert len(log) < 30 and log[-1]["epoch"] == 29 and log[-1]["progress"] == 1.0
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["time"]["measured_seconds"] > sum(metrics["seconds"].values()) - 1
    config = Config.from_json((tmp_path / "run" / "config.json").read_text())
    assert (config.training.time, config.training.asked_time) == (300.0, "5m")
