"""Model Picker, on a pool instead of a stream.

Karimi, Guerel, Karlas, Rausch, Zhang, Krause. Online Active Model Selection for Pre-trained Classifiers. AISTATS 2021.

Each right answer multiplies a model's weight by exp(eta). The image is asked on which the weighted models disagree
most: the largest ``q_c (1 - q_c)`` over classes, q the weighted share of models that predict c.
"""

import numpy as np
from jaxtyping import Float

from zerolabel.audit.choice.asked import Asked, Models

ETA = 0.5


def estimate(models: Models, asked: Asked) -> Float[np.ndarray, " K"]:
    """Right answers of each model among those asked; they are chosen, so this is a score and no accuracy."""
    return np.asarray(asked.correct(models).sum(1).astype(np.float64))


def ask(models: Models, asked: Asked, random: np.random.Generator) -> tuple[int, float]:
    """Image to ask next, ties at random; the chance is 1."""
    score = ETA * estimate(models, asked)
    weights = np.exp(score - score.max())
    share = np.einsum("l,hlm->hm", weights / weights.sum(), models.alike)
    variance = np.where(np.isin(models.differing, asked.images), -1.0, (share * (1 - share)).max(0))
    return int(models.differing[random.choice(np.flatnonzero(variance >= variance.max() - 1e-9))]), 1.0
