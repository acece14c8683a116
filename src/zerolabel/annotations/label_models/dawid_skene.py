"""Annotators as confusion matrices.

Dawid, Skene. Maximum Likelihood Estimation of Observer Error-Rates Using the EM Algorithm. Journal of the Royal
Statistical Society C 28, 1979:

    E:  q_i(c)     prop. to  prior(c) prod_a pi_a(v_ia | c)
    M:  pi_a(v|c)  prop. to  sum_i q_i(c) 1[v_ia = v],        prior(c) = mean_i q_i(c)

The one-coin variant gives an annotator one accuracy: pi_a(c | c) = s_a, and (1 - s_a) / (C - 1) for any other class
(Zhang, Chen, Zhou, Jordan. Spectral Methods Meet EM. JMLR 17, 2016). Both start from the shares of the votes and
assume that annotators err independently of each other, given the true class.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from zerolabel.annotations.label_models.em import EPS, DistinctVotes, Fit, log_prior, maximize

MOST_CELLS = 100_000_000
"""Maximum number of cells of all confusion matrices; beyond it, each annotator has a single accuracy."""


def dawid_skene(
    votes: Int[Tensor, "N A"],
    n_classes: int,
    labels: Int[Tensor, " N"] | None = None,
    *,
    one_coin: bool = False,
    smoothing: float = 0.01,
    most_steps: int = 100,
    tolerance: float = 1e-5,
) -> Fit:
    """Fit the model.

    Args:
        votes: class ids, -1 for an abstention.
        n_classes: C.
        labels: human labels as class ids, -1 for none; their rows of the posterior are one-hot.
        one_coin: True for one accuracy per annotator instead of a confusion matrix; also beyond `MOST_CELLS`.
        smoothing: pseudo-count of each column of a confusion matrix, spread evenly over the votes.
        most_steps: maximum number of iterations.
        tolerance: mean change of an image's posterior at which the iteration ends.
    """
    one_coin = one_coin or votes.shape[1] * n_classes**2 > MOST_CELLS
    distinct = DistinctVotes.of(votes, labels)
    columns = torch.where(distinct.votes < 0, n_classes, distinct.votes).T

    def log_joint(mass: Float[Tensor, "M C"]) -> Float[Tensor, "M C"]:
        scores = log_prior(mass).expand_as(mass).clone()
        for column in columns:
            if one_coin:
                scores.scatter_add_(1, column[:, None].clamp_max(n_classes - 1), _odds(column, mass))
            else:
                scores += _evidence(column, mass, smoothing)
        return scores

    found = maximize(distinct, n_classes, log_joint, most_steps=most_steps, tolerance=tolerance)
    return Fit(found.q[distinct.place], found.steps)


def _evidence(column: Int[Tensor, " M"], q: Float[Tensor, "M C"], smoothing: float) -> Float[Tensor, "M C"]:
    """Log-likelihood of one annotator's votes, log pi_a(v_i | c); abstentions (C) contribute nothing."""
    n_classes = q.shape[1]
    counts = torch.zeros(n_classes + 1, n_classes).index_add_(0, column, q)[:n_classes] + smoothing / n_classes
    confusion = (counts / counts.sum(0).clamp_min(EPS)).clamp_min(EPS)
    return torch.cat([confusion.log(), torch.zeros(1, n_classes)])[column]


def _odds(column: Int[Tensor, " M"], q: Float[Tensor, "M C"]) -> Float[Tensor, "M 1"]:
    """Log odds of a vote by an annotator with accuracy s: log s (C - 1) / (1 - s), at least 0."""
    n_classes = q.shape[1]
    voted = column < n_classes
    right = q[voted].gather(1, column[voted, None]).sum()
    accuracy = float((right + 0.5) / (q[voted].sum() + 1))
    odds = max(accuracy / (1 - accuracy) * (n_classes - 1), 1.0)
    return torch.where(voted, math.log(odds), 0.0)[:, None]
