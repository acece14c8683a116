"""Real handwritten digits, written out as PNG files: scikit-learn ships them, so no download is needed."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

N_TEST = 500
_SPLIT_SEED = 0


@dataclass(frozen=True)
class Digits:
    """Paths of the demonstration data.

    Attributes:
        train: folder of 1,297 unlabeled images.
        test: folder of 500 held-out images.
        truth: CSV of ``file_name,label`` of both, for evaluation only.
        classes: the class names.
    """

    train: Path
    test: Path
    truth: Path
    classes: tuple[str, ...] = tuple("0123456789")


def write_digits(folder: Path) -> Digits:
    """Write scikit-learn's 1,797 handwritten digits (UCI, 8 x 8 pixels) as PNGs, always in the same split.

    Args:
        folder: gets ``train/``, ``test/`` and ``truth.csv``.
    """
    digits = Digits(folder / "train", folder / "test", folder / "truth.csv")
    images, targets = load_digits(return_X_y=True)
    held_out = set(np.random.default_rng(_SPLIT_SEED).permutation(len(images))[:N_TEST].tolist())
    for path in (digits.train, digits.test):
        path.mkdir(parents=True, exist_ok=True)
    with digits.truth.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file_name", "label"])
        for i, (pixels, target) in enumerate(zip(images, targets, strict=True)):
            name = f"digit-{i:04d}.png"
            gray = (pixels.reshape(8, 8) / 16 * 255).round().astype(np.uint8)
            Image.fromarray(gray).save((digits.test if i in held_out else digits.train) / name)
            writer.writerow([name, digits.classes[target]])
    return digits
