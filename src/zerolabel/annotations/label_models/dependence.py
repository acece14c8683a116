"""Dependence of the annotators' errors.

w = 1 - 1 / (1 + (A - 1) rho), with rho the mean correlation, over images, of two annotators' probabilities of being
right: the share of their number that shared errors make void (the design effect of Kish, 1965).
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def dependence(votes: Int[Tensor, "M A"], q: Float[Tensor, "M C"]) -> float:
    """w: how much of the annotators' number their shared errors make void; all of it for one annotator."""
    n_annotators = votes.shape[1]
    if n_annotators < 2 or not len(votes):
        return 1.0
    right = torch.where(votes >= 0, q.gather(1, votes.clamp_min(0)), torch.nan)
    centered = (right - right.nanmean(0)).nan_to_num(0.0)
    covariance = centered.T @ centered
    variance = float(covariance.trace()) / n_annotators
    if variance <= 0:
        return 0.0
    shared = (float(covariance.sum()) / n_annotators - variance) / (n_annotators - 1)
    return 1 - 1 / (1 + (n_annotators - 1) * min(max(shared / variance, 0.0), 1.0))


__all__ = ["dependence"]
