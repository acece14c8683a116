"""Tip-Adapter. Zhang, Zhang, Fang, Gao, Li, Dai, Qiao, Li. Tip-Adapter: Training-free Adaption of CLIP for Few-shot
Classification. ECCV 2022.

    logits = scale f . T + alpha exp(-beta (1 - f . K^T)) V

K holds the shots' features and V their labels, one-hot. The authors choose alpha and beta by a search on validation
images. Ours: by leaving each shot out in turn, the pair of least cross-entropy; where a class has a single shot
nothing can be left out, and both are 1.

Against the authors' code: logits exact (golden/tip_adapter).
"""

import itertools
from typing import Annotated

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from zerolabel.networks.feature_head import FeatureHead
from zerolabel.options import Range, Weight

ALPHAS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)
BETAS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
SINGLE = (1.0, 1.0)
"""Alpha and beta where leaving a shot out would leave a class without one."""


def tip_adapter(
    shots: Float[Tensor, "M D"],
    labels: Int[Tensor, " M"],
    texts: Float[Tensor, "C D"],
    scale: float,
    *,
    alpha: Weight | None = None,
    beta: Annotated[float, Range(1e-3, 1e3)] | None = None,
) -> FeatureHead:
    """Zero-shot logits plus the labels of like shots; nothing is trained.

    Args:
        shots: features of the labeled images, of length 1.
        labels: their class ids.
        texts: text features of length 1.
        scale: the factor of the cosine in the model's softmax.
        alpha: weight of the shots; chosen by leaving one out where none is given.
        beta: how fast a shot's weight falls with distance; chosen likewise.
    """
    values = functional.one_hot(labels, len(texts)).to(shots)
    weight, sharpness = chosen(shots, labels, texts, scale, alpha, beta)
    return FeatureHead(scale * texts, keys=shots, values=weight * values, beta=sharpness)


def cached(
    cosines: Float[Tensor, "N M"], values: Float[Tensor, "M C"], alpha: float, beta: float
) -> Float[Tensor, "N C"]:
    """``alpha exp(-beta (1 - cos)) V``."""
    return alpha * (beta * (cosines - 1)).exp() @ values


def chosen(
    shots: Float[Tensor, "M D"],
    labels: Int[Tensor, " M"],
    texts: Float[Tensor, "C D"],
    scale: float,
    alpha: float | None,
    beta: float | None,
) -> tuple[float, float]:
    """Alpha and beta: what is given, the rest by leaving each shot out in turn."""
    if alpha is not None and beta is not None:
        return alpha, beta
    values = functional.one_hot(labels, len(texts)).to(shots)
    counts = values.sum(0)
    if bool((counts == 1).any()):
        return SINGLE[0] if alpha is None else alpha, SINGLE[1] if beta is None else beta
    cosines = (shots @ shots.T).fill_diagonal_(-torch.inf)
    logits = scale * shots @ texts.T
    pairs = itertools.product(ALPHAS if alpha is None else (alpha,), BETAS if beta is None else (beta,))

    def left_out(pair: tuple[float, float]) -> float:
        return float(functional.cross_entropy(logits + cached(cosines, values, *pair), labels))

    return min(pairs, key=left_out)
