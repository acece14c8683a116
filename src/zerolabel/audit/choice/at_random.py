"""The floor: images at random from the whole pool, the model with most right answers."""

import numpy as np

from zerolabel.audit.choice.asked import Asked, Models
from zerolabel.audit.choice.model_picker import estimate

__all__ = ["ask", "estimate"]


def ask(models: Models, asked: Asked, random: np.random.Generator) -> tuple[int, float]:
    """Any image that was not asked, and its chance."""
    left = np.setdiff1d(np.arange(models.scores.shape[1]), asked.images)
    return int(random.choice(left)), 1 / len(left)
