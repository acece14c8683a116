"""Real annotations: glyphs on real digits, made once, with a few human labels and abstentions."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from zerolabel import vlms
from zerolabel.annotate import annotate
from zerolabel.annotations import Annotations
from zerolabel.data.classes import Classes
from zerolabel.data.images import ImageSet

TEMPLATES = ("{}", "a photo of the number {}", "the handwritten digit {}")
NAMES = ("zero", "one", "two", "three", "four", "five, or 'V'", "six", "seven", "eight", "nine")


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 digits in two folders, each class twelve times."""
    root = tmp_path_factory.mktemp("digits")
    pictures, labels = load_digits(return_X_y=True)
    for digit in range(10):
        (root / f"part {digit % 2}").mkdir(exist_ok=True)
        for i, picture in enumerate(pictures[labels == digit][:12]):
            image = Image.fromarray((picture.reshape(8, 8) * 15.9).astype(np.uint8))
            image.save(root / f"part {digit % 2}" / f"é{digit}.{i:02}.png")
    return root


@pytest.fixture(scope="session")
def annotated(folder: Path) -> Annotations:
    """What the annotators said of them."""
    digits = Classes(NAMES, tuple((str(i),) for i in range(10)))
    done = annotate(ImageSet.open(folder), vlms.load("glyphs"), digits, TEMPLATES).annotations
    votes = done.votes.clone()
    votes[::7, 1] = -1
    votes[5] = -1
    scores = done.scores.clone()
    scores[5] = 0
    done = replace(done, votes=votes, scores=scores)
    sets = torch.nn.functional.one_hot(votes + 1, 11)[:, :, 1:].sum(1) > 0
    labels = torch.full((len(done),), -1)
    labels[:4] = torch.tensor([3, 0, 5, 9])
    return replace(done, candidates=sets).with_labels(labels)
