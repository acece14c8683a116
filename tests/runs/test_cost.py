from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tools.tiny_clip import full_size, write
from zerolabel.learners import LEARNERS
from zerolabel.runs import cost, encoder_work
from zerolabel.runs.cost import Machine, forecast
from zerolabel.runs.planning import draft
from zerolabel.runs.request import Request
from zerolabel.runs.timing import seconds_per_image

ONE = Machine("cpu", 1, "float32", 1.0)


@pytest.fixture
def images(tmp_path):
    (tmp_path / "images").mkdir()
    for i in range(20):
        pixels = np.random.default_rng(i).integers(0, 256, (40, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{i}.png")
    return str(tmp_path / "images")


@pytest.fixture(autouse=True)
def one_core(monkeypatch):
    monkeypatch.setattr(cost, "this_machine", lambda _: ONE)


def told(images, **said):
    return forecast(draft(Request(images, "a,b", **{"vlm": "glyphs", **said})))


def test_each_stage_costs_time_and_epochs_of_a_warm_up_are_cheap(images):
    first = told(images, student="light", epochs=100).seconds
    stages = [stage for stage in first if stage != cost.FIRST]  # which a slow machine adds
    assert stages == ["start", "annotate", "train", "export"] and all(one > 0 for one in first.values())
    twice = told(images, student="light", epochs=200).seconds
    assert twice["train"] == pytest.approx(2 * first["train"], rel=0.05) and twice["annotate"] == first["annotate"]
    some, most = (
        told(images, student="light", epochs=100, options=[f"warm_up={n}"]).seconds["train"] for n in (10, 90)
    )
    assert some > 2 * most
    assert told(images, student="mlp", epochs=100).seconds["train on features"] < first["train"] / 5
    through = told(images, student="light", via="features", epochs=100).seconds
    assert through["train"] < first["train"] / 5 and through["train on features"] > 0


def test_estimated_and_measured_times_stand_side_by_side(images):
    expected = told(images)
    compared = expected.compare({"annotate": 2.0, "evaluate": 1.0}, 2 * expected.total)
    assert compared["measured_over_estimated"] == pytest.approx(2)
    assert compared["stages"]["annotate"] == {"estimated": expected.seconds["annotate"], "measured": 2.0}
    assert compared["stages"]["evaluate"] == {"estimated": None, "measured": 1.0}
    assert expected.compare({}, None)["measured_over_estimated"] is None  # resumed


def test_every_learner_and_usual_student_is_in_the_table():
    table = cost.table()
    assert set(table["heads"]) == set(LEARNERS) == set(table["learners"])
    for name, size in (("light", 28), ("preact_resnet18", 64), ("resnet18", 224), ("resnet50", 224)):
        for precision in ("float32", "bfloat16"):
            each = cost.per_image(name, size, replace(ONE, precision=precision))
            assert each > 0 and cost.per_image(name, size, Machine("cpu", 4, precision, 2.0)) < each / 4


def test_what_is_not_known_is_said(images, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", images)
    assert told(images, vlm="hf-hub:someone/something").text.startswith("not known: the speed of the annotating model")
    monkeypatch.setattr(cost, "this_machine", lambda _: Machine("cuda", 1, "bfloat16", 1.0))
    assert "no table of speeds for cuda" in told(images).text


def test_a_network_that_the_table_lacks_is_timed(images, monkeypatch):
    monkeypatch.setattr("zerolabel.runs.timing.seconds_per_image", lambda student, size, device: 0.5)
    seconds = told(images, student="resnet10t", size=64, learner="distillation", epochs=10).seconds
    assert seconds["train"] == pytest.approx(20 * 10 * 0.5, rel=0.2)


def test_two_steps_are_timed():
    assert 0 < seconds_per_image("light", 24, "cpu") < 1


def test_the_work_of_an_encoder_is_that_of_its_layers(images, tmp_path):
    config = encoder_work.architecture("open_clip:ViT-B-32/openai")
    image, text = encoder_work.encoder_work(config)
    assert image == pytest.approx(4.3, rel=0.05)  # billions of multiplications, with 50 tokens of width 768
    assert 0.1 < text < 1
    local = write(tmp_path / "vit", {**full_size("ViT-B-32"), "embed_dim": 16})
    assert encoder_work.encoder_work(encoder_work.architecture(local)) == (image, text)
    assert encoder_work.encoder_work(encoder_work.architecture("open_clip:RN50/openai")) is None
    faster = [told(images, vlm=f"open_clip:{name}/x").seconds["annotate"] for name in ("ViT-B-16", "ViT-B-32")]
    assert faster[0] > 2 * faster[1]


def test_embeddings_cost_no_more_than_their_texts(images, tmp_path):
    vectors = np.random.default_rng(0).normal(size=(20, 16)).astype(np.float32)
    (tmp_path / "emb").mkdir()
    np.save(tmp_path / "emb" / "vectors.npy", vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    (tmp_path / "emb" / "vectors.txt").write_text("".join(f"{i}.png\n" for i in range(20)))
    np.save(tmp_path / "classes.npy", np.eye(2, 16, dtype=np.float32))
    local = write(tmp_path / "vit", {**full_size("ViT-B-32"), "embed_dim": 16})
    from_file, from_model = (f"embeddings:{tmp_path / 'emb'}@{of}" for of in (tmp_path / "classes.npy", local))
    assert cost.image_seconds(from_file, ONE) == (0.0, 0.0)
    image, text = cost.image_seconds(from_model, ONE)
    assert image == 0 and text == cost.image_seconds(local, ONE)[1] > 0
    assert told(images, vlm=from_model).total < told(images, vlm=local).total
