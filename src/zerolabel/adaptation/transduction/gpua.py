"""GPUA, its closed form. arXiv 2606.04385. ICML 2026.

    P <- softmax(scale X Y^T);  then in each round
    c_k = unit(sum_i P_ik z_i),   R = (1 - l) Z C^T + l X Y^T,   P <- Sinkhorn(R / t), rows 1, columns the class prior
    Z^T P Y = U S V^T,   W = U V^T,   logits = scale (z W) . y_k

X are the model's image features, Y its text features, and Z features of the same images, of a vision-only encoder in
the paper; here X itself where no other are given. W turns Z onto the texts (orthogonal Procrustes), so that the result
is one linear layer over Z. The paper's prior is uniform, which collapses where classes are uneven; the estimated one,
the mean of P in each round, is ours. So is the scale of the logits, which the best class does not need. Its steps by
gradient descent, tuned per data set, are left out.
"""

from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from zerolabel.adaptation.transduction.zero_shot import zero_shot
from zerolabel.blocks.targets import class_prior, sinkhorn
from zerolabel.networks.feature_head import FeatureHead
from zerolabel.options import Prior, Range, Rounds, Share


def gpua(
    features: Float[Tensor, "N D"],
    texts: Float[Tensor, "C D"],
    scale: float,
    vision: Float[Tensor, "N E"] | None = None,
    *,
    prior: Prior = "estimated",
    text_share: Share = 0.9,
    temperature: Annotated[float, Range(1e-3, 1)] = 0.01,
    iterations: Rounds = 10,
) -> Float[Tensor, "N C"]:
    """Image features turned onto the texts by an orthogonal map, found from an assignment that keeps the class prior.

    Args:
        features: image features of length 1.
        texts: text features of length 1.
        scale: the factor of the cosine in the model's softmax.
        vision: features of length 1 by another encoder; none takes the model's own.
        prior: class shares: "uniform", "estimated" from the assignments, or one weight per class.
        text_share: l, the weight of the texts beside the means of the images.
        temperature: t, by which similarities are divided.
        iterations: rounds of means and assignments.
    """
    head = aligned_head(
        features, texts, scale, vision, prior=prior, text_share=text_share, temperature=temperature,
        iterations=iterations,
    )  # fmt: skip
    posterior: Tensor = head(features if vision is None else vision).softmax(1)
    return posterior


def aligned_head(
    features: Float[Tensor, "N D"],
    texts: Float[Tensor, "C D"],
    scale: float,
    vision: Float[Tensor, "N E"] | None = None,
    *,
    prior: Prior = "estimated",
    text_share: float = 0.9,
    temperature: float = 0.01,
    iterations: int = 10,
) -> FeatureHead:
    """The linear layer over the vision features; arguments as of `gpua`."""
    z = features if vision is None else vision
    p = zero_shot(features, texts, scale)
    for _ in range(iterations):
        means = functional.normalize(p.T @ z, dim=1)
        similarity = (1 - text_share) * z @ means.T + text_share * features @ texts.T
        sharp = ((similarity - similarity.amax(1, keepdim=True)).double() / temperature).exp()
        p = sinkhorn(sharp, class_prior(p, prior).double()).to(features.dtype)
    u, _, v = torch.linalg.svd(z.T @ p @ texts, full_matrices=False)
    return FeatureHead(scale * texts @ (u @ v).T)
