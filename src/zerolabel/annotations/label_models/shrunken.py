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

from zerolabel.annotations.label_models.dawid_skene import MOST_CELLS, Fit, pin, shares
from zerolabel.annotations.label_models.dependence import dependence

_EPS = 1e-10
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
    """Fit the model; images with the same votes are counted once.

    Args:
        votes: class ids, -1 where an annotator abstained.
        n_classes: C.
        labels: class ids given by a person, -1 where nobody did; these rows of the posterior stay one-hot.
        shrink: k as a share of the images that an annotator voted on.
        most_steps: of expectation maximization.
        tolerance: it ends once the posterior of an image changes by less than this on average.
    """
    labels = torch.full((len(votes),), -1) if labels is None else labels
    rows, place, counts = torch.unique(
        torch.cat([votes, labels[:, None]], 1), dim=0, return_inverse=True, return_counts=True
    )
    weight, some, given = counts[:, None].float(), rows[:, :-1], rows[:, -1]
    voted = (some >= 0).any(1, keepdim=True)
    q, steps = pin(shares(some, n_classes), given), 0
    prior = evidence = torch.zeros_like(q)
    for steps in range(1, most_steps + 1):  # noqa: B007
        mass = (q * weight).sum(0) + _EPS
        prior, evidence = (mass / mass.sum()).log(), _evidence(some, q * weight, shrink)
        before, q = q, pin((prior + evidence).softmax(1) * voted, given)
        if float(((q - before).abs() * weight).sum()) <= tolerance * float(weight.sum()):
            break
    left = 1 - dependence(votes, q[place]) if votes.shape[1] > 1 else 1.0
    return Fit(pin((prior + left * evidence).softmax(1) * voted, given)[place], steps)


def _evidence(votes: Int[Tensor, "M A"], q: Float[Tensor, "M C"], shrink: float) -> Float[Tensor, "M C"]:
    """``sum_a log pi_a(v_ia | c)``; an abstention says nothing.

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
    return ((counts + weight * coin) / (counts.sum(0) + weight).clamp_min(_EPS)).clamp_min(_EPS).log()


def _accuracy(column: Int[Tensor, " M"], q: Float[Tensor, "M C"]) -> float:
    """The accuracy of one annotator, not below chance and not certain."""
    voted = column >= 0
    right = float(q[voted].gather(1, column[voted, None]).sum())
    return min(max((right + 0.5) / (float(q[voted].sum()) + 1), 1 / q.shape[1]), 1 - 1e-4)
