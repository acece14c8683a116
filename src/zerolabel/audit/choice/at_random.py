"""The floor: images at random from the whole pool, the model with most right answers."""

import numpy as np

from zerolabel.audit.choice.model_picker import estimate
from zerolabel.audit.choice.queries import Models, Queries

__all__ = ["ask", "estimate"]


def ask(models: Models, queries: Queries, random: np.random.Generator) -> tuple[int, float]:
    """A random image among those not asked about, and its probability."""
    left = np.setdiff1d(np.arange(models.scores.shape[1]), queries.images)
    return int(random.choice(left)), 1 / len(left)
