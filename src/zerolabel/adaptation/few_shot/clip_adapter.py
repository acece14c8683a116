"""CLIP-Adapter. Gao, Geng, Zhang, Ma, Fang, Zhang, Li, Qiao. CLIP-Adapter: Better Vision-Language Models with Feature
Adapters. IJCV 2024, arXiv 2110.04544.

    g = s A(f) + (1 - s) f,   A(f) = relu(W_2 relu(W_1 f)),   logits = scale l2(g) . T

W_1 has D / reduction rows, neither layer a bias. Ours: L-BFGS over all shots for a fixed number of iterations, with a
pull of the weights to their random start, in place of mini-batches.

Against the authors' code (gaopengcuhk/CLIP-Adapter @ 9ac913a): exact in the adapter, its first weights and the logits
(test_clip_adapter); its features are not of length 1, which changes nothing, for g grows with f. Documented difference:
the optimizer, which there is CoOp's on augmented views.
"""

import math
from typing import Annotated

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from zerolabel.blocks.lbfgs import minimized
from zerolabel.networks.feature_head import FeatureHead, adapted
from zerolabel.options import Range, Share, Steps, Weight


def clip_adapter(
    shots: Float[Tensor, "M D"],
    labels: Int[Tensor, " M"],
    texts: Float[Tensor, "C D"],
    scale: float,
    *,
    adapter_share: Share = 0.2,
    reduction: Annotated[int, Range(1, 64)] = 4,
    decay: Weight = 0.01,
    iterations: Steps = 50,
    seed: Annotated[int, Range(0, 2**31)] = 0,
) -> FeatureHead:
    """Two small layers change the image features a little.

    Args:
        shots: features of the labeled images, of length 1.
        labels: their class ids.
        texts: text features of length 1.
        scale: the factor of the cosine in the model's softmax.
        adapter_share: s, share of the layers' output; 0 is zero-shot.
        reduction: how many times narrower the hidden layer is.
        decay: how strongly weights are held at their start.
        iterations: of L-BFGS.
        seed: of the start.
    """
    width = max(1, shots.shape[1] // reduction)
    start = random_start(shots.shape[1], width, seed).to(shots)

    def loss(weights: Float[Tensor, "2 H D"]) -> Tensor:
        logits = scale * adapted(shots, weights, adapter_share) @ texts.T
        return functional.cross_entropy(logits, labels) + decay * (weights - start).square().sum()

    return FeatureHead(scale * texts, layers=minimized(loss, start, iterations), ratio=adapter_share)


def random_start(dimensions: int, width: int, seed: int) -> Float[Tensor, "2 H D"]:
    """Uniform weights within one over the root of the number of inputs of each layer."""
    generator = torch.Generator().manual_seed(seed)
    both = 2 * torch.rand(2, width, dimensions, generator=generator) - 1
    return both / torch.tensor([math.sqrt(dimensions), math.sqrt(width)])[:, None, None]
