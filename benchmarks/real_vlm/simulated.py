"""Annotators that are simulated on real images, where no output of a real model shows the case."""

import numpy as np
import torch
from jaxtyping import Float
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.nn import functional

from benchmarks.real_vlm.data import FOLDER, Photographs
from zerolabel import vlms
from zerolabel.annotate import annotate, text_features
from zerolabel.data.classes import Classes
from zerolabel.data.images import ImageSet
from zerolabel.vlms.glyphs import TEMPLATES

N = 2000
"""Images of Fashion-MNIST."""


def noisy_digits() -> tuple[Photographs, Float[Tensor, "N C"], float]:
    """The 1,797 digits with an annotator that errs at random, and their pixels as the second encoder's features.

    The annotator is glyphs with Gaussian noise on its features, twice as long as they are.

    Returns:
        Features and texts, the annotator's scores, and its logit scale.
    """
    digits, encoder = load_digits(), vlms.load_model("glyphs")
    classes = Classes(tuple(map(str, range(10))))
    images = ImageSet.from_arrays((digits.images * 15.9).astype(np.uint8))
    clean = annotate(images, encoder, classes, TEMPLATES).features
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0)) / clean.shape[1] ** 0.5
    features = functional.normalize(clean + 2 * noise, dim=1)
    texts = functional.normalize(text_features(encoder, classes, TEMPLATES).mean(0), dim=1)[None]
    labels = torch.from_numpy(digits.target).long()
    made = Photographs(classes.names, features, labels, texts, ("mean",), centered(torch.from_numpy(digits.data)))
    return made, (encoder.logit_scale * features @ texts[0].T).softmax(1), encoder.logit_scale


def systematic_fashion() -> tuple[Photographs, Float[Tensor, "N C"]]:
    """2,000 images of Fashion-MNIST with an annotator whose mistakes are systematic, and their pixels beside.

    The annotator is a logistic regression on thumbnails of 7 x 7 pixels, learned from other images; it prefers shirts:
    so images that are alike are mistaken alike.

    Returns:
        Features without texts, and the annotator's scores.
    """
    with np.load(FOLDER.parent / "fashion_mnist" / "fashion_mnist_20k_10k.npz") as file:
        pixels = torch.from_numpy(file["x_train"][: 3 * N].astype(np.float32))[:, None]
        labels, names = torch.from_numpy(file["y_train"][: 3 * N].astype(np.int64)), file["classes"]
    small = 3 * centered(functional.adaptive_avg_pool2d(pixels, 7))
    model = LogisticRegression(max_iter=300).fit(small[N:].numpy(), labels[N:].numpy())
    logits = torch.from_numpy(model.decision_function(small[:N].numpy())).float()
    logits[:, 6] += 1
    classes = tuple(str(name) for name in names)
    made = Photographs(classes, small[:N] / 3, labels[:N], torch.zeros(1, 10, 49), ("",), centered(pixels[:N]))
    return made, logits.softmax(1)


def centered(pixels: Float[Tensor, "N ..."]) -> Float[Tensor, "N D"]:
    """Pixels minus their mean over the images, as rows of length 1."""
    rows = pixels.float().flatten(1)
    return functional.normalize(rows - rows.mean(0), dim=1)
