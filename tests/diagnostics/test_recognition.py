"""Models that do not know the images, told from those that do without a label."""

import torch

from zerolabel.data.classes import Classes
from zerolabel.diagnostics.recognition import unknown_images
from zerolabel.runs.planning.recognition import unknown_classes


def scored(make_annotations, scores):
    return make_annotations(scores.argmax(1)[:, None], scores.shape[1]).with_scores(scores)


def test_scores_that_hardly_depend_on_the_image_are_told(make_annotations):
    torch.manual_seed(0)
    bias, noise = torch.randn(10), torch.randn(200, 10)
    blind = (0.5 * bias + 0.1 * noise).softmax(1)
    assert "does not seem to know" in unknown_images(scored(make_annotations, blind))
    sighted = (4 * torch.eye(10)[torch.arange(200) % 10] + noise).softmax(1)
    assert unknown_images(scored(make_annotations, sighted)) is None
    one_class = (8 * torch.eye(10)[torch.zeros(200, dtype=torch.long)] + noise).softmax(1)
    assert unknown_images(scored(make_annotations, one_class)) is None


def test_glyphs_knows_the_digits(annotated_digits):
    assert unknown_images(annotated_digits.annotations) is None


def test_characters_are_told_from_other_names():
    assert unknown_classes(["glyphs"], Classes(("0", "seven", "capital B", "the letter b"))) is None
    assert unknown_classes(["glyphs"], Classes(("rose", "tulip"), (("r",), ("t",)))) is None
    assert "'rose' is none" in unknown_classes(["glyphs"], Classes(("rose", "tulip", "7")))
    assert unknown_classes(["glyphs", "open_clip:ViT-B-32/openai"], Classes(("rose", "tulip"))) is None
    assert unknown_classes([], Classes(("rose", "tulip"))) is None
