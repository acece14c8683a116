"""Scores corrected by a few human labels: what annotators get wrong again and again, and what features tell.

For image i with score vector s_i and unit feature f_i,

    logits_i = a log(s_i + floor) + (f_i - mean f) W + b

with a, W and b fitted to the labeled images by cross-entropy, ``penalty (|W|^2 + |b|^2) / 2`` and ``(a - 1)^2 / 2``.
With a large penalty these are the scores again; with a = 0 it is logistic regression on the labels alone. The penalty,
and whether the scores take part at all, are those with the largest likelihood under cross-validation on the labeled
images, so that the result follows whichever knows more. Labels say nothing of classes that have none: these keep the
probability that the scores give them, and the rest is divided among the others. Stacking needs a label of every class.
Ours; CLAP (Silva-Rodriguez et al., CVPR 2024) draws a linear probe to the zero-shot weights in the same spirit.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from zerolabel.blocks.lbfgs import minimized

PENALTIES = (10.0, 1.0, 0.1, 0.01)
STRETCH = 5.0
"""Factor of the centered features, so that the penalties suit features of length 1."""
FLOOR = 1e-3
PARTS, ITERATIONS = 5, 60
LEAST = 5
"""Labeled images below which the scores stay as they are."""


class Kind(NamedTuple):
    """One candidate of the cross-validation: a penalty, and whether the scores take part."""

    penalty: float
    scores: bool


class Fit(NamedTuple):
    """Fitted parameters."""

    weights: Float[Tensor, "R C"]
    bias: Float[Tensor, " C"]
    slope: Float[Tensor, ""]


def corrected(
    scores: Float[Tensor, "N C"], features: Float[Tensor, "N D"], labels: Int[Tensor, " N"], *, seed: int = 0
) -> Float[Tensor, "N C"]:
    """The scores, corrected; a row sums to 1, and a labeled image has its label.

    Args:
        scores: probabilities that annotators give; a row of zeros is an image of which nothing is known.
        features: of length 1.
        labels: human labels, -1 where there is none.
        seed: of the parts of the cross-validation.
    """
    given = (labels >= 0).nonzero().squeeze(1)
    seen, target = labels[given].unique(return_inverse=True)
    if len(given) < LEAST or len(seen) < 2:
        return scores
    p = torch.where(scores.any(1, keepdim=True), scores, 1.0).double()
    p = p / p.sum(1, keepdim=True)
    said = (p[:, seen] + FLOOR).log()
    centered = STRETCH * (features - features.mean(0)).double()
    basis = torch.linalg.svd(centered[given], full_matrices=False).Vh
    known = centered[given] @ basis.T
    found = fit(known, said[given], target, best_kind(known, said[given], target, seed))
    made = p.clone()
    made[:, seen] = logits(found, centered @ basis.T, said).softmax(1) * p[:, seen].sum(1, keepdim=True)
    made = made.to(scores)
    return torch.where((labels >= 0)[:, None], functional.one_hot(labels.clamp_min(0), scores.shape[1]).to(made), made)


def fit(x: Float[Tensor, "M R"], said: Float[Tensor, "M C"], labels: Int[Tensor, " M"], kind: Kind) -> Fit:
    """The parameters that fit labeled images."""
    rank, n_classes = x.shape[1], said.shape[1]

    def loss(point: Tensor) -> Tensor:
        weights, bias, slope = split(point, rank, kind.scores)
        away = kind.penalty * (weights.square().sum() + bias.square().sum()) + (slope - float(kind.scores)).square()
        return functional.cross_entropy(slope * said + x @ weights + bias, labels, reduction="sum") + away / 2

    start = torch.zeros(rank + 2, n_classes, dtype=x.dtype)
    start[-1] = float(kind.scores)
    return split(minimized(loss, start, ITERATIONS), rank, kind.scores)


def split(point: Float[Tensor, "Q C"], rank: int, scores: bool) -> Fit:
    """Weights, bias and slope in one tensor; the slope is 0 where the scores take no part."""
    return Fit(point[:rank], point[rank], point[rank + 1].mean() * float(scores))


def logits(found: Fit, x: Float[Tensor, "N R"], said: Float[Tensor, "N C"]) -> Float[Tensor, "N C"]:
    """Logits of images."""
    return found.slope * said + x @ found.weights + found.bias


def best_kind(x: Float[Tensor, "M R"], said: Float[Tensor, "M C"], labels: Int[Tensor, " M"], seed: int) -> Kind:
    """The penalty, and whether the scores take part, by the likelihood of labeled images that were left out."""

    def likelihood(kind: Kind) -> float:
        total = 0.0
        for rest, out in parts(len(labels), seed):
            p = logits(fit(x[rest], said[rest], labels[rest], kind), x[out], said[out]).log_softmax(1)
            total += float(p.gather(1, labels[out][:, None]).sum())
        return total

    return max((Kind(penalty, scores) for scores in (True, False) for penalty in PENALTIES), key=likelihood)


def parts(n: int, seed: int) -> Iterator[tuple[Int[Tensor, " K"], Int[Tensor, " L"]]]:
    """The parts of a cross-validation: the images to fit, and those left out."""
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    for part in range(min(PARTS, n)):
        out = order[part::PARTS]
        mask = torch.ones(n, dtype=torch.bool)
        mask[out] = False
        yield mask.nonzero().squeeze(1), out
