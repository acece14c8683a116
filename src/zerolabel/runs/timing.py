"""Duration of a training step of a network that no table holds, on noise."""

import numpy as np

from zerolabel import networks
from zerolabel.data.views import Pixels, Preprocess
from zerolabel.learners import LEARNERS
from zerolabel.runs.guesses import random_annotations
from zerolabel.training import time_epoch
from zerolabel.training.settings import Settings

BATCH = 8
"""Images of each of the two steps."""


def seconds_per_image(student: str, size: int, device: str) -> float:
    """Of an epoch of distillation, one step forward and back on a strong view.

    Args:
        student: name of the network.
        size: side of its input in pixels.
        device: as in `Settings`.
    """
    pixels = np.random.default_rng(0).integers(0, 256, (BATCH, 3, size, size), dtype=np.uint8)
    source = Pixels(pixels, Preprocess(size, (0.5,) * 3, (0.25,) * 3), flip=True)
    learner = LEARNERS["distillation"](networks.build(student, 2, size), random_annotations(("a", "b"), BATCH))
    return time_epoch(learner, source, Settings(epochs=1, batch_size=BATCH, lr=0.01, device=device)) / BATCH


__all__ = ["seconds_per_image"]
