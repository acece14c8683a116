"""CLIP-Adapter. Gao, Geng, Zhang, Ma, Fang, Zhang, Li, Qiao. CLIP-Adapter: Better Vision-Language Models with Feature
Adapters. IJCV 2024, arXiv 2110.04544.

    g = ratio A(f) + (1 - ratio) f,   A(f) = relu(W_2 relu(W_1 f)),   logits = scale l2(g) . T

W_1 has D / reduction rows, neither layer a bias. Ours: L-BFGS over all shots for a fixed number of iterations, with a
pull of the weights to their random start, in place of mini-batches.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from zerolabel.few_shot.fitting import minimised


def clip_adapter(
    features: Float[Tensor, "N D"],
    shots: Float[Tensor, "M D"],
    labels: Int[Tensor, " M"],
    texts: Float[Tensor, "C D"],
    scale: float,
    *,
    ratio: float = 0.2,
    reduction: int = 4,
    decay: float = 0.01,
    iterations: int = 50,
    seed: int = 0,
) -> Float[Tensor, "N C"]:
    """Two small layers change the image features a little.

    Args:
        features: of the images that are asked about, of length 1.
        shots: of the labelled images.
        labels: their class ids.
        texts: text features of length 1.
        scale: the factor of the cosine in the model's softmax.
        ratio: share of the layers' output; 0 is zero-shot.
        reduction: how many times narrower the hidden layer is.
        decay: how strongly weights are held at their start.
        iterations: of L-BFGS.
        seed: of the start.
    """
    width = max(1, features.shape[1] // reduction)
    start = random_start(features.shape[1], width, seed).to(features)

    def loss(weights: Float[Tensor, "2 H D"]) -> Tensor:
        logits = scale * adapted(shots, weights, ratio) @ texts.T
        return functional.cross_entropy(logits, labels) + decay * (weights - start).square().sum()

    return (scale * adapted(features, minimised(loss, start, iterations), ratio) @ texts.T).softmax(1)


def adapted(features: Float[Tensor, "N D"], weights: Float[Tensor, "2 H D"], ratio: float) -> Float[Tensor, "N D"]:
    """Features after the layers ``W_1`` and the transpose of ``W_2``, of length 1."""
    changed = ((features @ weights[0].T).relu() @ weights[1]).relu()
    return functional.normalize(ratio * changed + (1 - ratio) * features, dim=1)


def random_start(dimensions: int, width: int, seed: int) -> Float[Tensor, "2 H D"]:
    """Uniform weights within one over the root of the number of inputs of each layer."""
    generator = torch.Generator().manual_seed(seed)
    both = 2 * torch.rand(2, width, dimensions, generator=generator) - 1
    return both / torch.tensor([math.sqrt(dimensions), math.sqrt(width)])[:, None, None]
