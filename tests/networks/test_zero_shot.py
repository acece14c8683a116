"""The zero-shot classifier answers what the annotators scored."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from tiny_clip import PIXELS, SIGLIP, TINY, write

from zerolabel import vlms
from zerolabel.annotate import annotate
from zerolabel.data.classes import Classes
from zerolabel.data.images import ImageSet
from zerolabel.deployment.assembly import zero_shot
from zerolabel.deployment.classifier import Classifier
from zerolabel.deployment.export import export
from zerolabel.diagnostics.calibration import threshold_for_share
from zerolabel.errors import InputError
from zerolabel.networks import NetworkSpec, build, rebuild
from zerolabel.networks.zero_shot import PromptEnsemble
from zerolabel.vlms import glyphs

NAMES = tuple("0123456789")


def tiny(folder: Path, **more: object) -> str:
    """A model of random weights whose softmax is as steep as a trained one's."""
    return write(folder, {**TINY, **more}, PIXELS, lambda model: model.logit_scale.data.fill_(np.log(100)))


def digits(folder: Path, size: int) -> ImageSet:
    """Real digits as gray PNG files of size x size pixels."""
    folder.mkdir()
    for i, digit in enumerate(load_digits().images[:12]):
        image = Image.fromarray((digit * 15.9).astype("uint8")).resize((size, size), Image.Resampling.BICUBIC)
        image.save(folder / f"{i:02}.png")
    return ImageSet.open(folder)


@pytest.mark.parametrize(("kind", "size", "n_prompts"), [("glyphs", 8, 8), ("clip", 32, 1), ("siglip", 32, 4)])
def test_probabilities_are_the_mean_scores_and_survive_saving_and_export(
    kind: str, size: int, n_prompts: int, tmp_path: Path
) -> None:
    more = SIGLIP if kind == "siglip" else {}
    encoder = vlms.load("glyphs" if kind == "glyphs" else tiny(tmp_path / "model", **more))
    images, templates = digits(tmp_path / "images", size), glyphs.TEMPLATES[:n_prompts]
    done = annotate(images, encoder, Classes(NAMES), templates)
    scores = done.annotations.scores
    least = threshold_for_share(scores.amax(1), 0.95)
    classifier = zero_shot(encoder, Classes(NAMES), templates, least, {"vlm": encoder.name})
    assert scores.std(0).max() > 1e-3  # the images differ
    torch.testing.assert_close(classifier.predict_proba(images), scores, atol=1e-4, rtol=0)
    assert (scores.amax(1) >= classifier.threshold).float().mean() >= 0.95

    classifier.save(tmp_path / "saved")
    loaded = Classifier.load(tmp_path / "saved")
    assert torch.equal(loaded.predict_proba(images), classifier.predict_proba(images))
    assert loaded.n_parameters == classifier.n_parameters > n_prompts * len(NAMES) * encoder.config["embed_dim"]
    assert export(loaded, tmp_path / "classifier.onnx", images).max_difference < 1e-4


def test_the_head_against_the_loop() -> None:
    texts, features = torch.randn(3, 4, 5) * 10, torch.nn.functional.normalize(torch.randn(6, 5), dim=1)
    p = PromptEnsemble(texts)(features).exp()
    for i in range(6):
        expected = sum((texts[a] @ features[i]).softmax(0) for a in range(3)) / 3
        torch.testing.assert_close(p[i], expected, atol=1e-6, rtol=1e-5)


def test_one_prompt_is_a_linear_head() -> None:
    texts, features = torch.randn(1, 4, 5) * 10, torch.randn(6, 5)
    torch.testing.assert_close(
        PromptEnsemble(texts)(features).softmax(1), (features @ texts[0].T).softmax(1), atol=1e-6, rtol=1e-5
    )


def test_nothing_of_it_is_trained_and_it_is_not_built_by_name() -> None:
    spec = NetworkSpec("zero_shot", 3, 32, {"embed_dim": 16, "vision_cfg": TINY["vision_cfg"]}, 2)
    network = rebuild(NetworkSpec.from_dict(json.loads(json.dumps(spec.to_dict()))))
    assert network.spec == spec and not any(p.requires_grad for p in network.parameters())
    with pytest.raises(InputError, match="zero_shot"):
        build("zero_shot", 3, 32)
