"""TransCLIP. Zanella, Gerin, Ben Ayed. Boosting Vision-Language Models with Transduction. NeurIPS 2024.

    L(z, mu, Sigma) = - sum_i z_i . log p_i - sum_ij w_ij z_i . z_j + sum_i KL_lambda(z_i || y_i)
    log p_ik = - (f_i - mu_k)^T Sigma^-1 (f_i - mu_k) / 2,   KL_lambda(z || y) = z . log z - lambda z . log y
    z_i <- norm( y_i^lambda pi exp( log p_i / tau + ((W + W^T) z)_i / (2 m) ) ), several sweeps
    mu_k <- l2(sum_i z_ik f_i),   Sigma <- Diag(sum_ik z_ik (f_i - mu_k)^2 / N), shared by the classes

y is the zero-shot posterior, W the cosine with the m nearest other images. mu starts as the mean of each class's most
confident images, Sigma as 1 / D. tau is in the authors' code, not in the paper. The class shares pi are ours: the
paper's are uniform, and "estimated" sets them again in each round to the mean of z.

Against the authors' code: exact (golden/transclip).
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from zerolabel.adaptation.transduction.assignment import assign, log_prior, smoothing
from zerolabel.adaptation.transduction.zero_shot import log_zero_shot
from zerolabel.options import Count, Neighbors, Prior, Rounds, Temperature, Weight

FLOOR = 1e-6
"""Least variance."""


def transclip(
    features: Float[Tensor, "N D"],
    texts: Float[Tensor, "C D"],
    scale: float,
    *,
    prior: Prior = "uniform",
    text_weight: Weight = 1.0,
    neighbors: Neighbors = 3,
    confident: Count = 8,
    temperature: Temperature = 50.0,
    iterations: Rounds = 10,
    sweeps: Rounds = 5,
) -> Float[Tensor, "N C"]:
    """A Gaussian per class with one diagonal variance, held by the text and by each image's neighbors.

    Args:
        features: image features of length 1.
        texts: text features of length 1.
        scale: the factor of the cosine in the model's softmax.
        prior: class shares: "uniform", "estimated" from the posteriors, or one weight per class.
        text_weight: lambda, the power of the zero-shot posterior.
        neighbors: m, of each image in the graph.
        confident: images from which a class's mean starts.
        temperature: tau, by which the log-likelihood is divided.
        iterations: rounds of assignments, means and variance.
        sweeps: of the assignments in each round.
    """
    log_y = log_zero_shot(features, texts, scale)
    graph = smoothing(features, neighbors)
    z = log_y.exp()
    means = _unit(first(z, confident).T @ features, texts)
    variance = features.new_full((features.shape[1],), 1 / features.shape[1])
    for _ in range(iterations):
        evidence = features @ (means / variance).T
        evidence -= (means.square() / variance).sum(1) / 2
        evidence.div_(temperature).add_(log_y, alpha=text_weight).add_(log_prior(z, prior))
        z = assign(evidence, graph, z, sweeps)
        means, variance = gaussians(features, z, means)
    return z


def gaussians(
    features: Float[Tensor, "N D"], z: Float[Tensor, "N C"], otherwise: Float[Tensor, "C D"]
) -> tuple[Float[Tensor, "C D"], Float[Tensor, " D"]]:
    """Mean of each class, at length 1, and the variance that they share; of a class without images another mean."""
    sums, counts = z.T @ features, z.sum(0)[:, None]
    means = _unit(sums, otherwise)
    moved = (counts * means.square() - 2 * means * sums).sum(0) / len(features)
    return means, (features.square().mean(0) + moved).clamp_min(FLOOR)


def first(z: Float[Tensor, "N C"], count: int) -> Float[Tensor, "N C"]:
    """A mark on the images that are most confident of each class."""
    best = z.topk(min(count, len(z)), dim=0).indices
    return torch.zeros_like(z).scatter_(0, best, 1.0)


def _unit(sums: Float[Tensor, "C D"], otherwise: Float[Tensor, "C D"]) -> Float[Tensor, "C D"]:
    """The sums at length 1; something else where a sum is zero."""
    return torch.where(sums.norm(dim=1, keepdim=True) > 1e-12, functional.normalize(sums, dim=1), otherwise)
