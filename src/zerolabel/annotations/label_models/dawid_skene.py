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
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

_EPS = 1e-10
MOST_CELLS = 100_000_000
"""Confusion matrices with more cells than this, over all annotators, give way to one accuracy per annotator."""


@dataclass(frozen=True)
class Fit:
    """Result of expectation maximization.

    Attributes:
        posterior: q, a row per image, which is zero where nobody voted.
        steps: how many were taken.
    """

    posterior: Float[Tensor, "N C"]
    steps: int


def shares(votes: Int[Tensor, "N A"], n_classes: int) -> Float[Tensor, "N C"]:
    """Share of an image's votes that each class has; a row is zero where nobody voted."""
    padded = torch.where(votes < 0, n_classes, votes)
    counts = torch.zeros(len(votes), n_classes + 1).scatter_add_(1, padded, torch.ones(votes.shape))[:, :n_classes]
    return counts / counts.sum(1, keepdim=True).clamp_min(1)


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
    """Fit the model; images with the same votes are counted once, so that annotators that mostly agree cost little.

    Args:
        votes: class ids, -1 where an annotator abstained.
        n_classes: C.
        labels: class ids given by a person, -1 where nobody did; these rows of the posterior stay one-hot.
        one_coin: one accuracy per annotator in place of its confusion matrix; so too beyond `MOST_CELLS`.
        smoothing: images that each annotator is taken to have seen of each class already, spread over its votes.
        most_steps: of the algorithm.
        tolerance: it ends once the posterior of an image changes by less than this on average.
    """
    one_coin = one_coin or votes.shape[1] * n_classes**2 > MOST_CELLS
    labels = torch.full((len(votes),), -1) if labels is None else labels
    rows, place, counts = torch.unique(
        torch.cat([votes, labels[:, None]], 1), dim=0, return_inverse=True, return_counts=True
    )
    weight, votes, labels = counts[:, None].float(), rows[:, :-1], rows[:, -1]
    columns = torch.where(votes < 0, n_classes, votes).T
    voted = (votes >= 0).any(1, keepdim=True)
    q, steps = pin(shares(votes, n_classes), labels), 0
    for steps in range(1, most_steps + 1):  # noqa: B007
        prior = (q * weight).sum(0) + _EPS
        scores = (prior / prior.sum()).log().expand_as(q).clone()
        for column in columns:
            if one_coin:
                scores.scatter_add_(1, column[:, None].clamp_max(n_classes - 1), _odds(column, q * weight))
            else:
                scores += _evidence(column, q * weight, smoothing)
        before, q = q, pin(scores.softmax(1) * voted, labels)
        if float(((q - before).abs() * weight).sum()) <= tolerance * float(weight.sum()):
            break
    return Fit(q[place], steps)


def _evidence(column: Int[Tensor, " M"], q: Float[Tensor, "M C"], smoothing: float) -> Float[Tensor, "M C"]:
    """Log-likelihood of one annotator's votes, log pi_a(v_i | c); abstentions (C) contribute nothing."""
    n_classes = q.shape[1]
    counts = torch.zeros(n_classes + 1, n_classes).index_add_(0, column, q)[:n_classes] + smoothing / n_classes
    confusion = (counts / counts.sum(0).clamp_min(_EPS)).clamp_min(_EPS)
    return torch.cat([confusion.log(), torch.zeros(1, n_classes)])[column]


def _odds(column: Int[Tensor, " M"], q: Float[Tensor, "M C"]) -> Float[Tensor, "M 1"]:
    """Log odds of a vote by an annotator with accuracy s: log s (C - 1) / (1 - s), at least 0."""
    n_classes = q.shape[1]
    voted = column < n_classes
    right = q[voted].gather(1, column[voted, None]).sum()
    accuracy = float((right + 0.5) / (q[voted].sum() + 1))
    odds = max(accuracy / (1 - accuracy) * (n_classes - 1), 1.0)
    return torch.where(voted, math.log(odds), 0.0)[:, None]


def pin(q: Float[Tensor, "M C"], labels: Int[Tensor, " M"]) -> Float[Tensor, "M C"]:
    """A human label is certain."""
    human = labels >= 0
    q = q.clone()
    q[human] = torch.nn.functional.one_hot(labels[human], q.shape[1]).to(q)
    return q
