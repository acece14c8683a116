"""Model Picker, on a pool instead of a stream.

Karimi, Guerel, Karlas, Rausch, Zhang, Krause. Online Active Model Selection for Pre-trained Classifiers. AISTATS 2021.

Each correct prediction multiplies a model's weight by exp(eta). The next image is the one on which the weighted models
disagree most: the largest ``q_c (1 - q_c)`` over classes, q the weighted share of models that predict c.

Ours: among models with as many correct predictions the one that agrees most with the mean of all comes first.
"""

import numpy as np
from jaxtyping import Float

from zerolabel.audit.choice.queries import Models, Queries

ETA = 0.35
"""Of 0.2, 0.35, 0.5 and 0.8 the one with the least regret on the cells of `benchmarks.audits`."""


def estimate(models: Models, queries: Queries) -> Float[np.ndarray, " K"]:
    """Scores, not accuracies: correct answers, and as a fraction the agreement with the mean of all models."""
    return np.asarray(queries.correct(models).sum(1) + 0.999 * models.consent)


def ask(models: Models, queries: Queries, random: np.random.Generator) -> tuple[int, float]:
    """Image to ask next, ties at random; the chance is 1."""
    score = ETA * queries.correct(models).sum(1)
    weights = np.exp(score - score.max())
    share = np.einsum("l,hlm->hm", weights / weights.sum(), models.agreement)
    variance = np.where(np.isin(models.differing, queries.images), -1.0, (share * (1 - share)).max(0))
    return int(models.differing[random.choice(np.flatnonzero(variance >= variance.max() - 1e-9))]), 1.0
