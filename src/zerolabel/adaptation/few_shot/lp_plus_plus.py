"""LP++. Huang, Shakeri, Dolz, Boudiaf, Bahig, Ben Ayed. LP++: A Surprisingly Strong Linear Probe for Few-Shot CLIP.
CVPR 2024, arXiv 2404.02285.

    logits_ik = f_i . (w_k + a_k t_k),   min over w, a of  L = mean_i CE(y_i, logits_i)

Blocks take turns, each by a gradient step of 1 / curvature, so that L never rises and there is no rate to choose.
The curvature of the cross-entropy in the logits is at most 1/2, hence

    L_w = lambda_max(F^T F) / (2 M),   L_a = max_k sum_i (f_i . t_k)^2 / (2 M)

Ours: these bounds; the start at zero-shot, w = 0 and a the model's own scale; and that a class without shots keeps
its zero-shot weights.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from zerolabel.networks.feature_head import FeatureHead


def lp_plus_plus(
    shots: Float[Tensor, "M D"],
    labels: Int[Tensor, " M"],
    texts: Float[Tensor, "C D"],
    scale: float,
    *,
    iterations: int = 300,
) -> FeatureHead:
    """A linear probe that blends a visual prototype and the text of each class.

    Args:
        shots: features of the labelled images, of length 1.
        labels: their class ids.
        texts: text features of length 1.
        scale: the factor of the cosine in the model's softmax.
        iterations: of both blocks; 0 is zero-shot.
    """
    return FeatureHead(fit(shots, labels, texts, scale, iterations))


def fit(
    shots: Float[Tensor, "M D"], labels: Int[Tensor, " M"], texts: Float[Tensor, "C D"], scale: float, iterations: int
) -> Float[Tensor, "C D"]:
    """The weights ``w_k + a_k t_k``."""
    w, a = torch.zeros_like(texts), texts.new_full((len(texts), 1), scale)
    target = functional.one_hot(labels, len(texts)).to(shots)
    seen = target.any(0)[:, None]
    cosines = shots @ texts.T
    curvature_w = torch.linalg.matrix_norm(shots, 2) ** 2 / (2 * len(shots))
    curvature_a = cosines.square().sum(0).max().clamp_min(1e-12) / (2 * len(shots))
    for _ in range(iterations):
        wrong = (shots @ (w + a * texts).T).softmax(1) - target
        w = w - seen * (wrong.T @ shots) / len(shots) / curvature_w
        wrong = (shots @ (w + a * texts).T).softmax(1) - target
        a = a - seen * (wrong * cosines).mean(0)[:, None] / curvature_a
    return w + a * texts
