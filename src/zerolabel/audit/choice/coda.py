"""CODA. Kay, Van Horn, Maji, Sheldon, Beery. Consensus-Driven Active Model Selection. ICCV 2025.

Each row of each model's confusion matrix has a Dirichlet belief, started from the consensus of all models:
``theta_hc = 2 (B_c + .1 M_hc)``, B with 1 on the diagonal and 1 / (C - 1) beside it, M_hc the mean probabilities of h
over images of consensus class c. The class of an image is believed as ``pi_i(c) ~ sum_h sum_s theta_hcs p_his``. A
model's accuracy on class c is a Beta(theta_hcc, rest of the row); P(best) is the chance of the largest, by the
trapezoid rule, averaged over classes by pi. The next image has the largest expected drop of the entropy of P(best),
among those on which some model leaves the majority; at most ``CANDIDATES`` of them, drawn at random, are compared.
An answer adds ``RATE`` to the entry of each model's prediction.

Ours: the rate is 1, as it is for the hypothetical answers by which images are chosen. The authors' code adds 0.01 for
real ones, so that 50 answers move no row by more than half a count and the first favorite stays: where the consensus
prefers a wrong model, it is still preferred after 50 answers.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.stats import beta

from zerolabel.audit.choice.queries import Models, Queries

STRENGTH, CONSENSUS, RATE = 2.0, 0.1, 1.0
POINTS = 256
CANDIDATES = 50


class Beliefs(NamedTuple):
    """Dirichlet parameters of the models' confusion rows, and the class beliefs of the images."""

    theta: Float[np.ndarray, "K C C"]
    classes: Float[np.ndarray, "N C"]


def beliefs(models: Models, queries: Queries) -> Beliefs:
    """Posterior after the answers so far."""
    k, _, c = models.scores.shape
    consensus = models.scores.mean(0).argmax(1)
    counts = np.bincount(consensus, minlength=c)
    means = np.stack([models.scores[:, consensus == one].sum(1) / max(counts[one], 1) for one in range(c)], axis=1)
    start = np.where(np.eye(c, dtype=bool), 1.0, 1 / max(c - 1, 1))
    theta = STRENGTH * (start + CONSENSUS * means)
    predicted = models.predicted[:, queries.images]
    for place, label in enumerate(queries.labels):
        given = np.flatnonzero(predicted[:, place] >= 0) if label >= 0 else np.empty(0, dtype=np.int64)
        theta[given, label, predicted[given, place]] += RATE
    raw = sum(models.scores[h] @ theta[h].T for h in range(k)) + 1e-12
    return Beliefs(theta, raw / raw.sum(1, keepdims=True))


def _tables(theta: Float[np.ndarray, "K C C"], right: float, wrong: float) -> tuple[np.ndarray, np.ndarray]:
    """Density and logarithm of the distribution function of each accuracy (K C X), with a hypothetical answer."""
    x = np.linspace(1e-4, 1 - 1e-4, POINTS)
    own = np.diagonal(theta, axis1=1, axis2=2)
    a, b = own[..., None] + right, (theta.sum(2) - own)[..., None] + wrong
    return beta.pdf(x, a, b), np.log(np.maximum(beta.cdf(x, a, b), 1e-30))


def _best(density: np.ndarray, log_below: np.ndarray) -> np.ndarray:
    """Chance of each model to be the best (..., K), from the tables (..., K, X)."""
    product = log_below.sum(-2, keepdims=True) - log_below
    chance = np.trapezoid(density * np.exp(product), dx=1 / POINTS, axis=-1)
    return np.asarray(chance / np.maximum(chance.sum(-1, keepdims=True), 1e-30))


def estimate(models: Models, queries: Queries) -> Float[np.ndarray, " K"]:
    """Chance of each model to be the best."""
    theta, classes = beliefs(models, queries)
    each = [np.moveaxis(table, 1, 0) for table in _tables(theta, 0.0, 0.0)]
    return np.asarray(classes.mean(0) @ _best(*each))


def ask(models: Models, queries: Queries, random: np.random.Generator) -> tuple[int, float]:
    """Image to ask next; the chance is 1."""
    theta, classes = beliefs(models, queries)
    left = models.differing[~np.isin(models.differing, queries.images)]
    if len(left) > CANDIDATES:
        left = random.choice(left, CANDIDATES, replace=False)
    prior = classes.mean(0)
    now = [np.moveaxis(table, 1, 0) for table in _tables(theta, 0.0, 0.0)]
    by_class = _best(*now)
    right, wrong = (_tables(theta, *added) for added in ((1.0, 0.0), (0.0, 1.0)))
    gains = np.zeros(len(left))
    for c in np.flatnonzero(classes[left].max(0) > 1e-3):
        hits = (models.predicted[:, left] == c).T[..., None]  # (candidates, K, 1)
        new = _best(*(np.where(hits, good[:, c], bad[:, c]) for good, bad in zip(right, wrong, strict=True)))
        total = prior @ by_class + prior[c] * (new - by_class[c])
        gains += classes[left, c] * (_entropy(prior @ by_class) - _entropy(total))
    return int(left[gains.argmax()]), 1.0


def _entropy(p: np.ndarray) -> np.ndarray:
    return np.asarray(-(p * np.log(np.maximum(p, 1e-30))).sum(-1))
