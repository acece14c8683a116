"""The floor: images at random from the whole pool, the model with most right answers."""

import numpy as np
from jaxtyping import Float

from zerolabel.audit.choice.queries import Models, Queries


def ask(models: Models, queries: Queries, random: np.random.Generator) -> tuple[int, float]:
    """A random image among those not asked about, and its probability."""
    left = np.setdiff1d(np.arange(models.scores.shape[1]), queries.images)
    return int(random.choice(left)), 1 / len(left)


def estimate(models: Models, queries: Queries) -> Float[np.ndarray, " K"]:
    """Number of right predictions of each model on the queried images."""
    return np.asarray(queries.correct(models).sum(1).astype(np.float64))
