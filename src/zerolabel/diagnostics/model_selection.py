"""Which of several students is best, from probabilities and annotations alone: no true label is read.

Every function returns a number that should be larger for a better student. None of them is an accuracy.

- Covering rate and approximated accuracy: Wang, Wu, Wang, Niu, Zhang, Sugiyama. Realistic Evaluation of Deep
  Partial-Label Learning Algorithms. ICLR 2025, arXiv 2502.10184.
- Confidence and dispersity: Deng et al. arXiv 2510.02956, and ICML 2023, arXiv 2302.01094.
- The fused reference follows an idea named FRAP (CVPR 2026) of which no text was available: the reading is ours.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from zerolabel.annotations import Annotations
from zerolabel.annotations.noise import beliefs
from zerolabel.blocks import targets
from zerolabel.diagnostics.agreement import agreement
from zerolabel.errors import InputError

REGRETS = {
    "approximated_accuracy": 0.023,
    "believed_accuracy": 0.027,
    "covering_rate": 0.031,
    "nuclear_norm": 0.035,
    "fused_reference": 0.059,
    "cleaned_agreement": 0.067,
    "stability": 0.109,
    "average_confidence": 0.127,
}
"""Accuracy that choosing by a criterion costs: that of the best learner less that of the one it puts first, mean over
`CELLS` sets of images, from ``benchmarks/results/selection.json``."""
CELLS, WORST = 9, 0.093
"""Sets of images, and what the default criterion costs on the worst of them."""
DEFAULT = "approximated_accuracy"
"""The criterion with the smallest regret, which learners are put in order by."""


def covering_rate(p: Float[Tensor, "N C"], candidates: Bool[Tensor, "N C"]) -> float:
    """Share of the images with candidates whose predicted class is one of them.

    Example:
        >>> p = torch.tensor([[0.9, 0.1], [0.2, 0.8]])
        >>> covering_rate(p, torch.tensor([[True, False], [True, False]]))
        0.5
    """
    counted = candidates.any(1)
    return _mean(candidates.gather(1, p.argmax(1, keepdim=True))[counted])


def approximated_accuracy(p: Float[Tensor, "N C"], candidates: Bool[Tensor, "N C"]) -> float:
    """Mean over images of ``1[c in S] p_c / sum_{j in S} p_j``, c the predicted class and S the candidates.

    Images without candidates are left out. Where the student gives its candidates no probability at all, c, which is
    none of them, counts nothing.
    """
    counted = candidates.any(1)
    inside = targets.restrict(p.double(), candidates)
    return _mean(inside.gather(1, p.argmax(1, keepdim=True))[counted])


def network_agreement(first: Float[Tensor, "N C"], second: Float[Tensor, "N C"]) -> float:
    """Share of the images that two networks give the same class."""
    return agreement(first.argmax(1), second.argmax(1))


def cleaned_agreement(p: Float[Tensor, "N C"], annotations: Annotations) -> float:
    """Share of the images whose predicted class is the candidate that the annotators make most likely.

    The likelihood is `zerolabel.annotations.noise.beliefs`; images without candidates are left out.
    """
    believed = beliefs(annotations)
    candidates = annotations.candidates[believed.rows]
    best = believed.joint.masked_fill(~candidates, -1.0).argmax(1)
    return _mean((p[believed.rows].argmax(1) == best)[candidates.any(1)])


def believed_accuracy(p: Float[Tensor, "N C"], annotations: Annotations) -> float:
    """Mean probability, by `zerolabel.annotations.noise.beliefs`, of the predicted class."""
    believed = beliefs(annotations)
    return _mean(believed.joint.gather(1, p[believed.rows].argmax(1, keepdim=True)))


def average_confidence(logits: Float[Tensor, "N C"], temperature: float) -> float:
    """Mean of the largest probability at a temperature that `zerolabel.diagnostics.calibration` set.

    On the images that set it this is the accuracy that was aimed at and nothing new; on others it tells them apart.
    """
    return _mean((logits.double() / temperature).softmax(1).amax(1))


def nuclear_norm(p: Float[Tensor, "N C"]) -> float:
    """``||P||_* / sqrt(min(N, C) N)``: 1 where predictions are confident and spread evenly over the classes.

    Raises:
        InputError: there is no image.

    Example:
        >>> round(nuclear_norm(torch.eye(3)), 6), round(nuclear_norm(torch.tensor([[1.0, 0.0], [1.0, 0.0]])), 3)
        (1.0, 0.707)
    """
    if not len(p):
        raise InputError("a nuclear norm needs the probabilities of at least one image.")
    value: float = float(torch.linalg.matrix_norm(p.double(), "nuc")) / (min(p.shape) * len(p)) ** 0.5
    return value


def fused_reference(p: Float[Tensor, "N C"], scores: Float[Tensor, "N C"]) -> float:
    """Mean probability of the predicted class under student and annotator together, ``r prop. to sqrt(p s)``.

    Images that nobody annotated are left out; where student and annotator have no class in common, nothing counts.
    """
    counted = scores.any(1)
    fused = (p.double() * scores.double()).sqrt()
    fused = fused / fused.sum(1, keepdim=True).clamp_min(1e-12)
    return _mean(fused.gather(1, p.argmax(1, keepdim=True))[counted])


def stability(predicted: Sequence[Int[Tensor, " N"]]) -> float:
    """Mean over pairs of seeds of the share of images that both give the same class; not a number for one seed."""
    pairs = [agreement(a, b) for a, b in combinations(predicted, 2)]
    return _mean(torch.tensor(pairs)) if pairs else float("nan")


def criteria(p: Float[Tensor, "N C"], annotations: Annotations) -> dict[str, float]:
    """All criteria that one student and the annotations of the same images give."""
    return {
        "covering_rate": covering_rate(p, annotations.candidates),
        "approximated_accuracy": approximated_accuracy(p, annotations.candidates),
        "cleaned_agreement": cleaned_agreement(p, annotations),
        "believed_accuracy": believed_accuracy(p, annotations),
        "nuclear_norm": nuclear_norm(p),
        "fused_reference": fused_reference(p, annotations.scores),
    }


def ranked(criterion: Mapping[str, float]) -> list[str]:
    """Learners by a criterion, the largest first; those without a number come last.

    Example:
        >>> ranked({"proden": 0.8, "pico": math.nan, "coreg": 0.9})
        ['coreg', 'proden', 'pico']
    """
    return sorted(criterion, key=lambda name: -criterion[name] if criterion[name] == criterion[name] else math.inf)


def _mean(values: Tensor) -> float:
    return float(values.double().mean())


__all__ = [
    "CELLS",
    "DEFAULT",
    "REGRETS",
    "WORST",
    "approximated_accuracy",
    "average_confidence",
    "believed_accuracy",
    "cleaned_agreement",
    "covering_rate",
    "criteria",
    "fused_reference",
    "network_agreement",
    "nuclear_norm",
    "ranked",
    "stability",
]
