"""Expectation maximization over distinct rows of votes, shared by the label models."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

EPS = 1e-10


@dataclass(frozen=True)
class Fit:
    """Result of a label model.

    Attributes:
        posterior: class probabilities of each image; a row without any vote is zero.
        steps: number of iterations.
    """

    posterior: Float[Tensor, "N C"]
    steps: int


@dataclass(frozen=True)
class DistinctVotes:
    """Distinct rows of votes and human labels, so that images with the same votes are processed once.

    Attributes:
        votes: class ids, -1 for an abstention.
        labels: human labels as class ids, -1 for none.
        counts: number of images of each row.
        place: row of each image.
    """

    votes: Int[Tensor, "M A"]
    labels: Int[Tensor, " M"]
    counts: Float[Tensor, "M 1"]
    place: Int[Tensor, " N"]

    @classmethod
    def of(cls, votes: Int[Tensor, "N A"], labels: Int[Tensor, " N"] | None) -> "DistinctVotes":
        """Collapse the votes and human labels of N images."""
        labels = torch.full((len(votes),), -1) if labels is None else labels
        rows, place, counts = torch.unique(
            torch.cat([votes, labels[:, None]], 1), dim=0, return_inverse=True, return_counts=True
        )
        return cls(rows[:, :-1], rows[:, -1], counts[:, None].float(), place)

    def posterior(self, log_joint: Float[Tensor, "M C"]) -> Float[Tensor, "M C"]:
        """E step: softmax of ``log p(votes, class)``; zero without a vote, one-hot for a human label."""
        return pin(log_joint.softmax(1) * (self.votes >= 0).any(1, keepdim=True), self.labels)


@dataclass(frozen=True)
class Converged:
    """End of expectation maximization.

    Attributes:
        q: the last posterior.
        before: the posterior of the last M step.
        steps: number of iterations.
    """

    q: Float[Tensor, "M C"]
    before: Float[Tensor, "M C"]
    steps: int


def maximize(
    distinct: DistinctVotes,
    n_classes: int,
    log_joint: Callable[[Float[Tensor, "M C"]], Float[Tensor, "M C"]],
    *,
    most_steps: int,
    tolerance: float,
) -> Converged:
    """Iterate M and E steps, starting from the shares of the votes.

    Args:
        distinct: M distinct rows of votes.
        n_classes: C.
        log_joint: M step and log-likelihood: from the posterior times the counts to ``log p(votes, class)``.
        most_steps: maximum number of iterations.
        tolerance: mean change of an image's posterior at which the iteration ends.
    """
    q = before = pin(shares(distinct.votes, n_classes), distinct.labels)
    least = tolerance * float(distinct.counts.sum())
    for step in range(most_steps):
        before, q = q, distinct.posterior(log_joint(q * distinct.counts))
        if float(((q - before).abs() * distinct.counts).sum()) <= least:
            return Converged(q, before, step + 1)
    return Converged(q, before, most_steps)


def log_prior(mass: Float[Tensor, "M C"]) -> Float[Tensor, " C"]:
    """Logarithm of the class shares of a posterior times the counts."""
    prior = mass.sum(0) + EPS
    return (prior / prior.sum()).log()


def shares(votes: Int[Tensor, "N A"], n_classes: int) -> Float[Tensor, "N C"]:
    """Share of each class among the votes of an image; zero without a vote."""
    padded = torch.where(votes < 0, n_classes, votes)
    counts = torch.zeros(len(votes), n_classes + 1).scatter_add_(1, padded, torch.ones(votes.shape))[:, :n_classes]
    return counts / counts.sum(1, keepdim=True).clamp_min(1)


def pin(q: Float[Tensor, "M C"], labels: Int[Tensor, " M"]) -> Float[Tensor, "M C"]:
    """Replace the rows of human-labeled images by one-hot rows."""
    human = labels >= 0
    q = q.clone()
    q[human] = torch.nn.functional.one_hot(labels[human], q.shape[1]).to(q)
    return q


__all__ = ["EPS", "Converged", "DistinctVotes", "Fit", "log_prior", "maximize", "pin", "shares"]
