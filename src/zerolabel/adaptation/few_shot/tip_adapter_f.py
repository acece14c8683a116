"""Tip-Adapter-F. Zhang, Zhang, Fang, Gao, Li, Dai, Qiao, Li. Tip-Adapter: Training-free Adaption of CLIP for Few-shot
Classification. ECCV 2022.

    min over K of  mean_i CE(y_i, scale f_i . T + alpha exp(-beta (1 - f_i . K^T)) V)  +  decay |K - K_0|^2 / M

K starts at the shots K_0 and is not brought to length 1. Ours: a shot does not see its own key where its class has
another one, for it would answer itself; the pull to the start and L-BFGS over all shots, in place of AdamW over
augmented views; and the end of the fixed number of iterations.

Against the authors' code (gaopengcuhk/Tip-Adapter @ 327763e): exact in the loss with ``own_keys=true`` and ``decay=0``
(test_tip_adapter_f). Documented differences: the optimizer, as above; its keys are means of ten augmented views; it
takes the epoch that is best on the test images.
"""

from functools import partial
from typing import Annotated

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from zerolabel.adaptation.few_shot.tip_adapter import chosen
from zerolabel.blocks.lbfgs import minimized
from zerolabel.networks.feature_head import FeatureHead
from zerolabel.options import Range, Steps, Weight


def tip_adapter_f(
    shots: Float[Tensor, "M D"],
    labels: Int[Tensor, " M"],
    texts: Float[Tensor, "C D"],
    scale: float,
    *,
    alpha: Weight | None = None,
    beta: Annotated[float, Range(1e-3, 1e3)] | None = None,
    decay: Weight = 1.0,
    iterations: Steps = 20,
    own_keys: bool = False,
) -> FeatureHead:
    """Tip-Adapter whose keys are learned.

    Args:
        shots: features of the labeled images, of length 1.
        labels: their class ids.
        texts: text features of length 1.
        scale: the factor of the cosine in the model's softmax.
        alpha: weight of the keys; where none is given as `tip_adapter` chooses it, but never 0.
        beta: how fast a key's weight falls with distance.
        decay: how strongly keys are held at the shots.
        iterations: of L-BFGS.
        own_keys: whether a shot sees its own key as it is learned from, as in the code.
    """
    values = functional.one_hot(labels, len(texts)).to(shots)
    weight, sharpness = chosen(shots, labels, texts, scale, alpha, beta)
    weight = max(weight, 0.5) if alpha is None else weight
    alone = values.sum(0)[labels] == 1
    hidden = torch.diag(~alone) & (not own_keys)
    loss = partial(left_out_loss, shots, labels, values, scale * shots @ texts.T, hidden, weight, sharpness, decay)
    keys = minimized(loss, shots, iterations)
    return FeatureHead(scale * texts, keys=keys, values=weight * values, beta=sharpness)


def left_out_loss(
    shots: Float[Tensor, "M D"],
    labels: Int[Tensor, " M"],
    values: Float[Tensor, "M C"],
    logits: Float[Tensor, "M C"],
    hidden: Tensor,
    alpha: float,
    beta: float,
    decay: float,
    keys: Float[Tensor, "M D"],
) -> Tensor:
    """Cross-entropy of the shots by the keys that each may see, and the pull of the keys to the shots."""
    affinity = (beta * (shots @ keys.T - 1)).exp().masked_fill(hidden, 0)
    return (
        functional.cross_entropy(logits + alpha * affinity @ values, labels)
        + decay * (keys - shots).square().sum(1).mean()
    )
