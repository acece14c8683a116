"""One export of a frozen image encoder serves all classifiers on it."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from zerolabel.data.views import Preprocess
from zerolabel.deployment import encoder_graph
from zerolabel.deployment.classifier import Classifier
from zerolabel.deployment.graph import graph
from zerolabel.networks import EncodedNetwork, ImageEncoder, build

CONFIG = {"embed_dim": 12, "vision_cfg": {"image_size": 16, "layers": 1, "width": 64, "patch_size": 8}}
VIEW = Preprocess(16, (0.5, 0.4, 0.3), (0.2, 0.3, 0.25), "crop", "bicubic")


@pytest.fixture
def asked(monkeypatch):
    """Inputs of the parts that are exported from now on; nothing is kept from before."""
    monkeypatch.setattr(encoder_graph, "_newest", {})
    export, names = encoder_graph.exported, []
    monkeypatch.setattr(encoder_graph, "exported", lambda *a: names.append(a[2]) or export(*a))
    return names


def classifier(encoder: ImageEncoder, *heads: str, temperature: float = 1.0) -> Classifier:
    networks = tuple(EncodedNetwork(encoder, build(head, 3, 12)).eval() for head in heads)
    return Classifier(networks, ("a", "b", "c"), VIEW, temperature)


def answers(model: onnx.ModelProto, images: np.ndarray) -> np.ndarray:
    return onnxruntime.InferenceSession(model.SerializeToString()).run(["probabilities"], {"image": images})[0]


def test_each_head_on_an_encoder_is_exported_and_the_encoder_once(asked):
    encoder, images = ImageEncoder.build(CONFIG), np.random.default_rng(0).integers(0, 256, (3, 19, 23, 3), np.uint8)
    for one in (classifier(encoder, "linear"), classifier(encoder, "mlp", "linear", temperature=0.5)):
        expected = one.predict_proba(list(images)).numpy()
        found = answers(graph(one, "uint8"), images)
        np.testing.assert_allclose(found, expected, atol=1e-5)
    assert asked == ["pixels", "features", "features"]


@pytest.mark.parametrize("change", ["weights", "normalization"])
def test_another_encoder_is_exported_anew(asked, change):
    encoder = ImageEncoder.build(CONFIG)
    graph(classifier(encoder, "linear"), "uint8")
    other = classifier(encoder, "linear")
    if change == "weights":
        with torch.no_grad():
            next(encoder.visual.parameters()).add_(1.0)
    else:
        other = Classifier(other.networks, other.classes, Preprocess(16, (0.5, 0.4, 0.2), (0.2, 0.3, 0.25)))
    graph(other, "uint8")
    assert asked == ["pixels", "features"] * 2


def test_networks_without_a_common_frozen_encoder_are_exported_whole(asked):
    light = Classifier((build("light", 3, 16).eval(),), ("a", "b", "c"), VIEW)
    two = [classifier(ImageEncoder.build(CONFIG), "linear").networks[0] for _ in range(2)]
    for one in (light, Classifier(tuple(two), ("a", "b", "c"), VIEW)):
        assert encoder_graph.on_encoder(one, VIEW, "pixels", "probabilities") is None
    assert asked == []
