"""Choice by importance-weighted answers: images are drawn in proportion to how much they tell about the leaders.

Only images on which the models differ are drawn. The chance of image i grows with the standard deviation, over models
h with weight w_h, of whether h is right, expected over what the label may be:

    s_i = sqrt(sum_c pi_ic q_ic (1 - q_ic)),   q_ic = sum_h w_h 1[h predicts c]

with pi mostly q. The weights w concentrate on models whose estimates are within sampling error of the best. Accuracies
are estimated without bias whatever the chances were: draws without replacement are reweighted (Farquhar, Gal,
Rainforth. On Statistical Bias in Active Learning. ICLR 2021), and what pi expects of each model is a control variate;
that the weights are normalized by their sum costs a bias of order 1 / n.
"""

import numpy as np
from jaxtyping import Float

from zerolabel.audit.choice.queries import Models, Queries

FLOOR = 0.03
"""Part of the chance that is spread evenly, so that no image is left out."""
SHARPNESS = 2.0
"""By how many standard errors of one half over root n behind the best a model loses a factor of e."""
EVEN = 0.1
"""Part of pi in which all models count equally."""


def ask(models: Models, queries: Queries, random: np.random.Generator) -> tuple[int, float]:
    """Image to ask next, and the chance with which it was drawn."""
    weights = leaders(models, queries)
    share = np.einsum("l,hlm->hm", weights, models.agreement)  # q at the prediction of each model
    belief = (1 - EVEN) * share + EVEN * models.agreement.mean(1)
    voters = np.maximum(models.agreement.sum(1), 1)  # each class counts once
    spread = np.sqrt(np.maximum((belief * share * (1 - share) / voters).sum(0), 0))
    left = ~np.isin(models.differing, queries.images)
    spread = np.where(left, spread, 0)
    even = left / left.sum()
    chances = even if spread.sum() <= 0 else (1 - FLOOR) * spread / spread.sum() + FLOOR * even
    place = int(random.choice(len(chances), p=chances / chances.sum()))
    return int(models.differing[place]), float(chances[place])


def leaders(models: Models, queries: Queries) -> Float[np.ndarray, " K"]:
    """Weights of the models: even before the first answer, then by their distance from the best estimate."""
    n, k = len(queries.images), len(models.scores)
    if not n:
        return np.full(k, 1 / k)
    estimates = estimate(models, queries)
    raw = np.exp(np.clip((estimates - estimates.max()) * 2 * np.sqrt(n) * SHARPNESS, -50, 0))
    return np.asarray(raw / raw.sum())


def estimate(models: Models, queries: Queries) -> Float[np.ndarray, " K"]:
    """Estimated accuracy of each model on the images on which they differ."""
    k, n, size = len(models.scores), len(queries.images), len(models.differing)
    if not n:
        return np.asarray(models.agreement.mean((1, 2)), dtype=np.float64)
    step = np.arange(1, n + 1)
    weight = np.ones(n)
    if n < size:
        weight += (size - n) / (size - step) * (1 / ((size - step + 1) * queries.chances) - 1)
    correct = queries.correct(models)
    places = np.searchsorted(models.differing, queries.images)
    first = (correct * weight).sum(1) / weight.sum()
    raw = np.exp(np.clip((first - first.max()) * 2 * np.sqrt(n) * SHARPNESS, -50, 0))
    believed = (1 - EVEN) * np.einsum("l,hlm->hm", raw / raw.sum(), models.agreement) + EVEN / k * models.agreement.sum(
        1
    )
    return np.asarray(((correct - believed[:, places]) * weight).sum(1) / weight.sum() + believed.mean(1))
