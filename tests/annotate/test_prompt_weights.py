"""Prompts that are weighted without labels."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from tiny_clip import PIXELS, TINY, write
from torch.nn import functional as F

from zerolabel import vlms
from zerolabel.annotate import annotate, text_features
from zerolabel.annotate.prompt_weights import estimated_weights, weighted_texts, weights_of
from zerolabel.annotations import Annotations, Annotator, parse_rule
from zerolabel.data.classes import Classes
from zerolabel.data.images import ImageSet
from zerolabel.deployment.assembly import zero_shot

SCALE = 100.0


def world(n: int = 300, n_classes: int = 6, width: int = 48) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Images around class directions, three prompts near these, and the truth."""
    centers, truth = F.normalize(torch.randn(n_classes, width), dim=1), torch.randint(n_classes, (n,))
    images = F.normalize(centers[truth] + 0.6 * F.normalize(torch.randn(n, width), dim=1), dim=1)
    spread = torch.tensor([0.1, 0.3, 0.6])[:, None, None]
    prompts = F.normalize(centers + spread * F.normalize(torch.randn(3, n_classes, width), dim=2), dim=2)
    return images, prompts, truth


def right(images: torch.Tensor, texts: torch.Tensor, truth: torch.Tensor) -> float:
    weights = estimated_weights(images.split(64), texts, SCALE)
    assert torch.allclose(weights.sum(0), torch.ones(texts.shape[1]), atol=1e-5)
    return float(((images @ weighted_texts(texts, weights)[0].T).argmax(1) == truth).float().mean())


def test_it_is_its_equations() -> None:
    images, texts, _ = world(40, 3)
    weights = estimated_weights([images[:15], images[15:]], texts, SCALE)
    for c in range(3):
        means = []
        for a in range(3):
            cosines = [[float(r @ t) for t in texts[a]] for r in images]
            own = [row[c] for row in cosines if max(row) == row[c]]
            means.append(SCALE * sum(own) / len(own))
        expected = torch.tensor(means).softmax(0)
        assert torch.allclose(weights[:, c], expected, atol=1e-3)


def test_templates_that_mean_nothing_change_nothing() -> None:
    images, texts, truth = world()
    alone = right(images, texts, truth)
    noise = F.normalize(torch.randn(20, *texts.shape[1:]), dim=2)
    constant = F.normalize(texts.mean((0, 1)) + 0.01 * noise, dim=2)
    shuffled = torch.stack([texts[a % 3][torch.randperm(6)] for a in range(6)])
    for more in (noise, constant, constant[:1].expand(20, -1, -1), shuffled):
        assert abs(right(images, torch.cat([texts, more]), truth) - alone) <= 0.003


def test_a_class_without_an_image_and_a_pool_without_images_have_even_weights() -> None:
    images, texts, truth = world()
    weights = estimated_weights([images[truth != 2]], texts, SCALE)
    assert bool(weights.isfinite().all())
    assert torch.equal(estimated_weights([], texts, SCALE), torch.full((3, 6), 1 / 3))


def test_weights_are_kept_with_the_annotations(make_annotations, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    given = make_annotations(torch.tensor([[0, 1], [1, 1]]), 2)
    who = tuple(Annotator("m", "r", t, weights=w) for t, w in (("a {}", (0.25, 1.0)), ("b {}", (0.75, 0.0))))
    saved = type(given)(**{**vars(given), "annotators": who})
    saved.save(tmp_path / "annotations.parquet")
    weights = weights_of(Annotations.load(tmp_path / "annotations.parquet"), "m")
    assert weights is not None and weights.tolist() == [[0.25, 1.0], [0.75, 0.0]]
    assert weights_of(saved, "another") is None and weights_of(given, given.annotators[0].model) is None
    assert Annotator("m", "r", "a {}") == who[0]


def test_annotated_scores_are_those_of_the_weighted_prompts_and_of_the_deployed_classifier(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for i, digit in enumerate(load_digits().images[:24]):
        Image.fromarray((digit * 15.9).astype("uint8")).resize((32, 32)).save(tmp_path / f"images/{i:02}.png")
    spec = write(tmp_path / "model", TINY, PIXELS, lambda model: model.logit_scale.data.fill_(np.log(100)))
    encoder, names, templates = vlms.load(spec), Classes(("zero", "one", "two")), ("a {}", "the {}.", "{} {}")
    images = ImageSet.open(tmp_path / "images")
    ask = {"rule": "mass:0.9", "cache": tmp_path / "cache"}
    plain = annotate(images, encoder, names, templates, **ask)
    done = annotate(images, encoder, names, templates, **ask, weights="estimated")
    weights, texts = weights_of(done.annotations, encoder.name), text_features(encoder, names, templates)
    assert weights is not None and torch.allclose(
        weights, estimated_weights([done.features], texts, encoder.logit_scale), atol=1e-4
    )
    expected = encoder.probabilities(done.features, weighted_texts(texts, weights)[0])
    assert torch.allclose(done.annotations.scores, expected, atol=1e-3)
    assert torch.equal(done.annotations.votes, plain.annotations.votes)
    assert torch.equal(done.annotations.candidates, parse_rule("mass:0.9")(done.annotations))
    again = annotate(images.select([3, 1]), encoder, names, templates, **ask, weights=weights).annotations.scores
    assert torch.allclose(again, done.annotations.scores[[3, 1]], atol=1e-3)
    classifier = zero_shot(encoder, names, templates, 0.1, {}, weights)
    assert torch.allclose(classifier.predict_proba(images), done.annotations.scores, atol=0.02)


@pytest.mark.parametrize("weights", [[1], [0.5, 2], [0.5, "a"], "ab", [True, 0.5]])
def test_weights_that_are_none_are_refused(weights: object) -> None:
    from zerolabel.annotations.validation import check_meta

    told = {"model": "m", "revision": "", "template": "{}", "weights": weights}
    with pytest.raises(ValueError, match="weights"):
        check_meta({"classes": ["a", "b"], "annotators": [told], "rule": "union"})
