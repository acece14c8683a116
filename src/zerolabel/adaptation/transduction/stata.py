"""StatA. Zanella, Fuchs, De Vleeschouwer, Ben Ayed. Realistic Test-Time Adaptation of Vision-Language Models.
CVPR 2025.

    L(z, mu, Sigma) = L_TransCLIP(z, mu, Sigma) + alpha sum_k KL( N(t_k, Sigma') || N(mu_k, Sigma_k) )
    Sigma' = Diag( sum_ik y_ik (f_i - t_k)^2 / N )
    log p_ik = - log det(Sigma_k) / 2 - (f_i - mu_k)^T Sigma_k^-1 (f_i - mu_k) / 2
    z_i <- norm( y_i pi exp( log p_i / tau + ((W + W^T) z)_i / (2 m) ) ), several sweeps
    b_k = n_k / (n_k + alpha), n_k the images whose best class is k
    mu_k <- unit(b_k unit(v_k) + (1 - b_k) t_k),   Sigma_k <- b_k T_k + (1 - b_k) (Sigma' + Diag((t_k - mu_k)^2))

y is the zero-shot posterior, v_k and T_k are the mean of f and of (f - mu_k)^2 weighted by z_k. Means start at the
text, variances at Sigma'. Both normalizations of the mean, tau, the sweeps and the scaling of W are in the authors'
code; the class shares pi and the floor of the variances are ours.

Against the authors' code: exact (golden/stata).
"""

from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from zerolabel.adaptation.transduction.assignment import assign, log_prior, smoothing
from zerolabel.adaptation.transduction.zero_shot import log_zero_shot
from zerolabel.options import Neighbors, Prior, Range, Rounds, Temperature

FLOOR = 1e-6
"""Least variance."""
ROWS = 4096
"""Images whose squared features are in memory at once."""


def stata(
    features: Float[Tensor, "N D"],
    texts: Float[Tensor, "C D"],
    scale: float,
    *,
    prior: Prior = "uniform",
    anchor: Annotated[float, Range(1e-6, 1e9)] = 1.0,
    neighbors: Neighbors = 3,
    temperature: Temperature = 50.0,
    iterations: Rounds = 10,
    sweeps: Rounds = 5,
) -> Float[Tensor, "N C"]:
    """A Gaussian per class that stays at the text where few images speak for the class.

    Args:
        features: image features of length 1.
        texts: text features of length 1.
        scale: the factor of the cosine in the model's softmax.
        prior: class shares: "uniform", "estimated" from the posteriors, or one weight per class.
        anchor: alpha, how many images the text weighs as.
        neighbors: m, of each image in the graph.
        temperature: tau, by which the log-likelihood is divided.
        iterations: rounds of assignments, means and variances.
        sweeps: of the assignments in each round.
    """
    log_y = log_zero_shot(features, texts, scale)
    graph = smoothing(features, neighbors)
    z = log_y.exp()
    counts, sums, squares = moments(features, z)
    spread = ((squares.sum(0) - (2 * texts * sums - counts * texts.square()).sum(0)) / len(features)).clamp_min(FLOOR)
    means, variances = texts, spread.expand_as(texts)
    for _ in range(iterations):
        evidence = log_likelihood(features, means, variances).div_(temperature)
        z = assign(evidence.add_(log_y).add_(log_prior(z, prior)), graph, z, sweeps)
        counts, sums, squares = moments(features, z)
        voters = torch.bincount(z.argmax(1), minlength=len(texts)).to(z.dtype)[:, None]
        share = voters / (voters + anchor)
        weighted, squared = sums / counts.clamp_min(1e-12), squares / counts.clamp_min(1e-12)
        means = blended(sums, share, texts)
        own = squared - 2 * means * weighted + means.square()
        variances = (share * own + (1 - share) * (spread + (texts - means).square())).clamp_min(FLOOR)
    return z


def blended(
    sums: Float[Tensor, "C D"], share: Float[Tensor, "C 1"], texts: Float[Tensor, "C D"]
) -> Float[Tensor, "C D"]:
    """``unit(b unit(v) + (1 - b) t)``: the mean direction of a class's images, blended with its text.

    Args:
        sums: ``sum z f`` of each class, which has the direction of the mean.
        share: b of each class.
        texts: text features of length 1.
    """
    return functional.normalize(share * functional.normalize(sums, dim=1) + (1 - share) * texts, dim=1)


def moments(
    features: Float[Tensor, "N D"], z: Float[Tensor, "N C"]
) -> tuple[Float[Tensor, "C 1"], Float[Tensor, "C D"], Float[Tensor, "C D"]]:
    """``sum z``, ``sum z f`` and ``sum z f^2`` per class."""
    squares = sum((part.T @ rows.square() for rows, part in zip(features.split(ROWS), z.split(ROWS), strict=True)))
    return z.sum(0)[:, None], z.T @ features, torch.as_tensor(squares)


def log_likelihood(
    features: Float[Tensor, "N D"], means: Float[Tensor, "C D"], variances: Float[Tensor, "C D"]
) -> Float[Tensor, "N C"]:
    """Of Gaussians with diagonal variances, up to a constant."""
    constant = (variances.log() + means.square() / variances).sum(1) / 2
    linear, quadratic = (means / variances).T, (0.5 / variances).T
    return torch.cat([rows @ linear - rows.square() @ quadratic for rows in features.split(ROWS)]) - constant
