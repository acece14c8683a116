"""Dawid-Skene with confusion matrices that are shrunk toward one accuracy, and votes that count by their dependence.

A full confusion matrix has C (C - 1) numbers per annotator, most of them about rare classes; fitted to votes whose
errors are shared, it explains rare classes away. Here a row is the posterior mean under a Dirichlet prior whose center
is the one-coin row,

    pi_a(v | c)  =  ( sum_i q_i(c) 1[v_ia = v]  +  k o_a(v | c) ) / ( sum_i q_i(c)  +  k ),      k = shrink n_a

with n_a the images that a voted on and o_a(c | c) its accuracy s_a. So a class that most images have keeps its own row,
and a rare one that of the annotator as a whole. At the end the evidence of all votes is multiplied by 1 - w, the share
of the annotators' number that shared errors leave (`zerolabel.annotations.label_models.dependence`): many prompts of
one model are no more than a few voters.

With two annotators the votes determine one rate of agreement and not two accuracies: both get the same one, so that
where they disagree neither is believed for no reason but the class prior.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from zerolabel.annotations.label_models.dawid_skene import MOST_CELLS
from zerolabel.annotations.label_models.dependence import dependence
from zerolabel.annotations.label_models.em import EPS, DistinctVotes, Fit, log_prior, maximize

SHRINK = 0.5
"""Images that a row of the one-coin matrix weighs, as a share of those voted on; chosen on the votes of 19 models on
paintings and on simulated annotators with and without confusions, see ``benchmarks/results/real_vlm.json``."""


def shrunken(
    votes: Int[Tensor, "N A"],
    n_classes: int,
    labels: Int[Tensor, " N"] | None = None,
    *,
    shrink: float = SHRINK,
    most_steps: int = 100,
    tolerance: float = 1e-5,
) -> Fit:
    """Fit the model.

    Args:
        votes: class ids, -1 for an abstention.
        n_classes: C.
        labels: human labels as class ids, -1 for none; their rows of the posterior are one-hot.
        shrink: k as a share of the images that an annotator voted on.
        most_steps: maximum number of iterations.
        tolerance: mean change of an image's posterior at which the iteration ends.
    """
    distinct = DistinctVotes.of(votes, labels)

    def log_joint(mass: Float[Tensor, "M C"], weight: float = 1.0) -> Float[Tensor, "M C"]:
        return log_prior(mass) + weight * _evidence(distinct.votes, mass, shrink)

    found = maximize(distinct, n_classes, log_joint, most_steps=most_steps, tolerance=tolerance)
    independent = 1 - dependence(votes, found.q[distinct.place]) if votes.shape[1] > 1 else 1.0
    q = distinct.posterior(log_joint(found.before * distinct.counts, independent))
    return Fit(q[distinct.place], found.steps)


def _evidence(votes: Int[Tensor, "M A"], q: Float[Tensor, "M C"], shrink: float) -> Float[Tensor, "M C"]:
    """``sum_a log pi_a(v_ia | c)``; abstentions contribute nothing.

    Args:
        votes: class ids, -1 where an annotator abstained.
        q: posterior of each image, times how often its votes come.
        shrink: k as a share of the images that an annotator voted on.
    """
    n_classes, found = q.shape[1], torch.zeros_like(q)
    accuracies = [_accuracy(column, q) for column in votes.T]
    if len(accuracies) == 2:
        accuracies = [sum(accuracies) / 2] * 2
    for column, accuracy in zip(votes.T, accuracies, strict=True):
        beside = (1 - accuracy) / max(n_classes - 1, 1)
        if votes.shape[1] == 2 or votes.shape[1] * n_classes**2 > MOST_CELLS:
            row = torch.full_like(q, beside).log()
            row.scatter_(1, column.clamp_min(0)[:, None], math.log(accuracy))
        else:
            row = _rows(column, q, accuracy, beside, shrink)[column]
        found += torch.where((column >= 0)[:, None], row, 0.0)
    return found


def _rows(
    column: Int[Tensor, " M"], q: Float[Tensor, "M C"], accuracy: float, beside: float, shrink: float
) -> Float[Tensor, "C C"]:
    """Logarithms of pi(v | c), a row per vote v."""
    n_classes, voted = q.shape[1], column >= 0
    coin = torch.full((n_classes, n_classes), beside).fill_diagonal_(accuracy)
    weight = shrink * float(q[voted].sum())
    counts = torch.zeros(n_classes, n_classes).index_add_(0, column[voted], q[voted])
    return ((counts + weight * coin) / (counts.sum(0) + weight).clamp_min(EPS)).clamp_min(EPS).log()


def _accuracy(column: Int[Tensor, " M"], q: Float[Tensor, "M C"]) -> float:
    """The accuracy of one annotator, not below chance and not certain."""
    voted = column >= 0
    right = float(q[voted].gather(1, column[voted, None]).sum())
    return min(max((right + 0.5) / (float(q[voted].sum()) + 1), 1 / q.shape[1]), 1 - 1e-4)
