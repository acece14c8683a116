"""Counts over annotations: pure functions that read no true label."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def votes_per_class(votes: Int[Tensor, "N A"], n_classes: int) -> Int[Tensor, "A C"]:
    """Number of votes of each annotator for each class; abstentions are not counted."""
    n_annotators = votes.shape[1]
    ids = votes + torch.arange(n_annotators) * n_classes
    return torch.bincount(ids[votes >= 0], minlength=n_annotators * n_classes).view(n_annotators, n_classes)


def vote_agreement(votes: Int[Tensor, "N A"]) -> Float[Tensor, "A A"]:
    """Share of the images with both votes on which two annotators chose the same class; NaN where there are none."""
    voted = votes >= 0
    rows = []
    for mine, spoke in zip(votes.T, voted.T, strict=True):
        both = voted & spoke[:, None]
        rows.append(((votes == mine[:, None]) & both).sum(0) / both.sum(0))
    return torch.stack(rows).float() if rows else torch.zeros(0, 0)


def mean_agreement(agreement: Float[Tensor, "A A"]) -> Float[Tensor, " A"]:
    """Mean agreement of each annotator with the others; NaN where there is no other."""
    off = agreement.clone()
    off.fill_diagonal_(torch.nan)
    return off.nanmean(1)


def set_sizes(candidates: Bool[Tensor, "N C"]) -> Int[Tensor, " S"]:
    """Number of images with 0, 1, 2, ... candidates, up to the largest set."""
    return torch.bincount(candidates.sum(1))


def partners(candidates: Bool[Tensor, "N C"], most: int = 50_000) -> Int[Tensor, "C C"]:
    """Number of images with both of two classes as candidates; the diagonal is zero.

    At most `most` images are looked at, evenly spaced.
    """
    step = -(-max(len(candidates), 1) // most)
    rows = candidates[::step].float()
    together = (rows.T @ rows).long()
    return together.fill_diagonal_(0)
