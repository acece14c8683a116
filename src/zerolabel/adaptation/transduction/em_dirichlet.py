"""EM-Dirichlet. Martin, Huang, Shakeri, Pesquet, Ben Ayed. Transductive Zero-Shot and Few-Shot CLIP. CVPR 2024.

    q_i = softmax(T f_i . t),   class k ~ Dirichlet(alpha_k)
    pi_k = mean_i u_ik
    minimise  - sum_ik u_ik log Dir(q_i; alpha_k) + sum_ik u_ik log u_ik - lambda sum_k pi_k log pi_k
    u_i <- softmax( log Dir(q_i; alpha) + (lambda / N) log pi );  hard: 1 for the largest, without the entropy of u
    alpha_k <- majorise-minimise steps towards the maximum likelihood under the weights u_k

A step, from beta: with s_kj = sum_i u_ik log q_ij / sum_i u_ik, log Gamma(a) = log Gamma(a + 1) - log a, the first term
below its parabola at beta through (0, 0), of curvature c = 2 (beta psi(beta + 1) - log Gamma(beta + 1)) / beta^2, and
- log Gamma(sum a) below its tangent:

    c a^2 + b a - 1 = 0,   b = psi(beta + 1) - c beta - psi(sum beta) - s

lambda = N C / 5 in the paper, which favours few classes: with lambda / N = 1 this is a mixture whose class shares are
estimated, with 0 one whose shares are equal. Ours: T is a share of the model's scale (30 of CLIP's 100 in the paper),
u starts at q, alpha at 1, and logarithms of q are at least `LOWEST`.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from zerolabel.adaptation.transduction.zero_shot import log_zero_shot
from zerolabel.blocks.targets import one_hot

LOWEST = math.log(1e-12)
"""Least logarithm of a probability."""


def em_dirichlet(
    features: Float[Tensor, "N D"],
    texts: Float[Tensor, "C D"],
    scale: float,
    *,
    hard: bool = False,
    partition: float | None = None,
    sharpness: float = 0.3,
    iterations: int = 20,
    steps: int = 50,
) -> Float[Tensor, "N C"]:
    """A Dirichlet distribution of the zero-shot answers per class; for batches that hold few of the classes.

    Args:
        features: image features of length 1.
        texts: text features of length 1.
        scale: the factor of the cosine in the model's softmax.
        hard: whether an image belongs wholly to one class (Hard EM-Dirichlet).
        partition: lambda / N, the weight of the logarithm of the class shares; none means a fifth of the number of
            classes, 1 estimates the shares, 0 takes them as equal.
        sharpness: T as a share of the model's scale.
        iterations: rounds of assignments and parameters.
        steps: most majorise-minimise steps in each round.
    """
    log_q = log_zero_shot(features, texts, sharpness * scale).clamp_min_(LOWEST)
    weight = len(texts) / 5 if partition is None else partition
    u = log_q.exp()
    alpha = torch.ones(len(texts), len(texts), dtype=torch.float64)
    for _ in range(iterations):
        count = u.sum(0)
        there = count > 1e-6
        means = (u.T @ log_q)[there].double() / count[there, None].double()
        alpha[there] = fit(alpha[there], means, steps)
        now = log_density(log_q, alpha).add_((weight * (count / len(u)).clamp_min(1e-12).log()).to(u.dtype))
        now = one_hot(now.argmax(1), len(texts)).to(u.dtype) if hard else now.softmax(1)
        settled = bool((now - u).abs().max() < 1e-6)
        u = now
        if settled:
            break
    return u


def log_density(log_q: Float[Tensor, "N C"], alpha: Float[Tensor, "K C"]) -> Float[Tensor, "N K"]:
    """``log Dir(q_i; alpha_k)``."""
    constant = alpha.sum(1).lgamma() - alpha.lgamma().sum(1)
    return (log_q @ (alpha - 1).T.to(log_q.dtype)).add_(constant.to(log_q.dtype))


def fit(alpha: Float[Tensor, "K C"], means: Float[Tensor, "K C"], steps: int) -> Float[Tensor, "K C"]:
    """Parameters after at most so many steps towards the likeliest for a mean ``E log q``, fewer where they settle."""
    for _ in range(steps):
        gradient = torch.digamma(alpha + 1)
        curvature = 2 * (alpha * gradient - torch.lgamma(alpha + 1)) / alpha.square()
        curvature = torch.where(alpha < 1e-3, math.pi**2 / 6, curvature)
        b = gradient - curvature * alpha - torch.digamma(alpha.sum(1, keepdim=True)) - means
        moved = 2 / (b + (b.square() + 4 * curvature).sqrt())
        settled = bool(((moved - alpha).abs() < 1e-6 * alpha).all())
        alpha = moved
        if settled:
            break
    return alpha
