"""Counts and agreements of predictions, votes and candidate sets: figures that need no label."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def mean_candidates(candidates: Bool[Tensor, "N C"]) -> float:
    """Mean size of the candidate sets that are not empty."""
    sizes = candidates.sum(1)
    return float(sizes[sizes > 0].double().mean())


def agreement(first: Int[Tensor, " N"], second: Int[Tensor, " N"]) -> float:
    """Share of images that two predictions give the same class, where neither abstains; needs no truth."""
    both = (first >= 0) & (second >= 0)
    return float((first == second)[both].double().mean())


def class_counts(predicted: Int[Tensor, " N"], n_classes: int) -> Int[Tensor, " C"]:
    """Number of images that are given each class; shows a collapse without truth."""
    return torch.bincount(predicted[predicted >= 0], minlength=n_classes)


def confidence_histogram(probabilities: Float[Tensor, "N C"], bins: int = 20) -> Int[Tensor, " bins"]:
    """Number of images whose largest probability falls into each of equal bins of [0, 1]."""
    confidence = probabilities.amax(1).nan_to_num(0.0)
    return torch.bincount((confidence * bins).long().clamp(0, bins - 1), minlength=bins)
