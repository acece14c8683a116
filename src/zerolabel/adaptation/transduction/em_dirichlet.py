"""EM-Dirichlet. Martin, Huang, Shakeri, Pesquet, Ben Ayed. Transductive Zero-Shot and Few-Shot CLIP. CVPR 2024.

    q_i = softmax(T f_i . t),   cluster k ~ Dirichlet(alpha_k)
    pi_k = mean_i u_ik
    minimize  - sum_ik u_ik log Dir(q_i; alpha_k) + sum_ik u_ik log u_ik - lambda sum_k pi_k log pi_k
    u_i <- softmax( log Dir(q_i; alpha) + (lambda / N) log pi );  hard: 1 for the largest, without the entropy of u
    alpha_k <- majorize-minimize steps toward the maximum likelihood under the weights u_k

A step, from beta: with s_kj = sum_i u_ik log q_ij / sum_i u_ik, log Gamma(a) = log Gamma(a + 1) - log a, the first term
below its parabola at beta through (0, 0), of curvature c = 2 (beta psi(beta + 1) - log Gamma(beta + 1)) / beta^2, and
- log Gamma(sum a) below its tangent:

    c a^2 + b a - 1 = 0,   b = psi(beta + 1) - c beta - psi(sum beta) - s

As the authors' code: lambda / N = int(C / 5), which favors few classes (with 1 this is a mixture whose class shares
are estimated, with 0 one whose shares are equal); u starts at q, alpha at 1; 20 rounds of up to 1,000 steps, hard 10;
every 50 steps all alpha are looked at together, and the steps end once the squared relative change is below `SETTLED`;
a cluster of a mass of at most `TINY` keeps its alpha, takes part in that look with s = `ABSENT`, and `TINY` is added
inside the logarithms. At the end each cluster that has images is named by the assignment of clusters to classes that
maximizes the sum of the clusters' mean q (``linear_sum_assignment``); the other clusters keep their order in the
classes that are left.

Ours: T is a share of the model's scale (30 of CLIP's 100 in the paper), and sums are in double precision.

Against the authors' code: exact (golden/em_dirichlet).
"""

import math
from typing import Annotated

import torch
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from zerolabel.adaptation.transduction.zero_shot import log_zero_shot
from zerolabel.blocks.targets import one_hot
from zerolabel.options import Range, Rounds, Share, Weight

TINY = 1e-15
"""Added inside logarithms; a cluster of no larger mass is empty."""
ABSENT = -10.0
"""Mean of log q of an empty cluster."""
LOOK, SETTLED = 50, 1e-11
"""Steps between two looks at the change of alpha, and the squared relative change that ends the steps."""


def em_dirichlet(
    features: Float[Tensor, "N D"],
    texts: Float[Tensor, "C D"],
    scale: float,
    *,
    hard: bool = False,
    partition: Weight | None = None,
    sharpness: Annotated[float, Range(1e-3, 1e3)] = 0.3,
    iterations: Rounds | None = None,
    steps: Rounds = 1000,
    matching: bool = True,
    present: Share = 0.5,
) -> Float[Tensor, "N C"]:
    """A Dirichlet distribution of the zero-shot answers per class; for batches that hold few of the classes.

    Args:
        features: image features of length 1.
        texts: text features of length 1.
        scale: the factor of the cosine in the model's softmax.
        hard: whether an image belongs wholly to one class (Hard EM-Dirichlet).
        partition: lambda / N, the weight of the logarithm of the class shares; none means a fifth of the number of
            classes, rounded down; 1 estimates the shares, 0 takes them as equal.
        sharpness: T as a share of the model's scale.
        iterations: rounds of assignments and parameters; none means 20, and 10 where hard.
        steps: most majorize-minimize steps in each round.
        matching: whether clusters are assigned to classes at the end.
        present: `solve` refuses where more than this share of the classes seems to be there;
            1 refuses nothing.
    """
    classes, dtype = len(texts), features.dtype
    q = log_zero_shot(features, texts, sharpness * scale).double().exp()
    log_q = (q + TINY).log()
    weight = classes // 5 if partition is None else partition
    u, alpha = q, torch.ones(classes, classes, dtype=torch.float64)
    for _ in range((10 if hard else 20) if iterations is None else iterations):
        count = u.sum(0)[:, None]
        there = count > TINY
        means = torch.where(there, u.T @ log_q / count.clamp_min(TINY), ABSENT)
        alpha = torch.where(there, fit(alpha, means, steps), alpha)
        evidence = log_density(log_q, alpha).add_(weight * (u.mean(0) + TINY).log())
        u = one_hot(evidence.argmax(1), classes).double() if hard else evidence.softmax(1)
    return (u[:, matched(u, q)] if matching else u).to(dtype)


def log_density(log_q: Float[Tensor, "N C"], alpha: Float[Tensor, "K C"]) -> Float[Tensor, "N K"]:
    """``log Dir(q_i; alpha_k)``."""
    constant = alpha.sum(1).lgamma() - alpha.lgamma().sum(1)
    return (log_q @ (alpha - 1).T).add_(constant)


def fit(alpha: Float[Tensor, "K C"], means: Float[Tensor, "K C"], steps: int) -> Float[Tensor, "K C"]:
    """Parameters after at most so many steps toward the likeliest for a mean ``E log q``, fewer where they settle."""
    for step in range(steps):
        gradient = torch.digamma(alpha + 1)
        curvature = 2 * (alpha * gradient - torch.lgamma(alpha + 1)) / alpha.square()
        curvature = torch.where(alpha < 1e-3, math.pi**2 / 6, curvature)
        b = gradient - curvature * alpha - torch.digamma(alpha.sum(1, keepdim=True)) - means
        moved = 2 / (b + (b.square() + 4 * curvature).sqrt())
        settled = step > 0 and step % LOOK == 0 and float((moved - alpha).square().sum() / alpha.square().sum())
        alpha = moved
        if settled is not False and settled < SETTLED:
            break
    return alpha


def matched(u: Float[Tensor, "N C"], q: Float[Tensor, "N C"]) -> Int[Tensor, " C"]:
    """The cluster of each class, by the largest sum of the clusters' mean zero-shot probabilities.

    Args:
        u: assignments to clusters; an image counts for its best one.
        q: zero-shot probabilities.
    """
    members = one_hot(u.argmax(1), u.shape[1]).to(q.dtype)
    sizes = members.sum(0)
    there = (sizes > 0).nonzero().squeeze(1)
    rows, columns = linear_sum_assignment((members.T @ q)[there] / sizes[there, None], maximize=True)
    clusters = torch.full((u.shape[1],), -1)
    clusters[torch.from_numpy(columns)] = there[torch.from_numpy(rows)]
    clusters[clusters < 0] = (sizes == 0).nonzero().squeeze(1)
    return clusters
