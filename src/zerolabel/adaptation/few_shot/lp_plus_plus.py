"""LP++. Huang, Shakeri, Dolz, Boudiaf, Bahig, Ben Ayed. LP++: A Surprisingly Strong Linear Probe for Few-Shot CLIP.
CVPR 2024, arXiv 2404.02285.

    logits_ik = f_i . (w_k + a_k t_k) + b_k,   min over w, b, a of  L = mean_i CE(y_i, logits_i)
    start: w_k = sum of the features of class k's shots,  b = 0,  a = 250 mean_k mean_{i of k} f_i . t_k
    steps: 4 M / lambda_max(F^T F) for w and b, with momentum 0.9;   M / (4 max_k sum_i (f_i . t_k)^2) for a

The data give the start and the step sizes, which are the method. Each step sees all M shots. a moves at every tenth
step, by the sum of its gradients since the start, which the authors' code does not clear.

Ours: the last step counts, where the authors take the best on validation images; the bias starts at 0, theirs at
random; a class without shots keeps its text alone, with the a of the start, and none of its parameters moves.

Against the authors' code: exact from the same bias (golden/lp_plus_plus).
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from zerolabel.networks.feature_head import FeatureHead
from zerolabel.options import Steps

MOMENTUM = 0.9
EVERY = 10
"""Steps of w and b for each step of a."""
START = 250.0
"""The start of a over the mean cosine of the shots and their class's text."""


def lp_plus_plus(
    shots: Float[Tensor, "M D"],
    labels: Int[Tensor, " M"],
    texts: Float[Tensor, "C D"],
    scale: float,
    *,
    iterations: Steps = 300,
) -> FeatureHead:
    """A linear probe that blends a visual prototype and the text of each class.

    Args:
        shots: features of the labeled images, of length 1.
        labels: their class ids.
        texts: text features of length 1.
        scale: not used; as all methods take it.
        iterations: steps over all shots; 0 is the start.
    """
    weights, bias, blend = fit(shots, labels, texts, iterations)
    return FeatureHead(weights + blend[:, None] * texts, bias=bias)


def fit(
    shots: Float[Tensor, "M D"], labels: Int[Tensor, " M"], texts: Float[Tensor, "C D"], iterations: int
) -> tuple[Float[Tensor, "C D"], Float[Tensor, " C"], Float[Tensor, " C"]]:
    """w, b and a after so many steps."""
    target = functional.one_hot(labels, len(texts)).to(shots)
    seen, cosines = target.any(0).to(shots), shots @ texts.T
    w, b, a = start(shots, target, cosines)
    rate, rate_a = step_sizes(shots, cosines)
    speed_w, speed_b, slope_a = torch.zeros_like(w), torch.zeros_like(b), torch.zeros_like(a)
    for step in range(1, iterations + 1):
        wrong = ((shots @ w.T + b + a * cosines).softmax(1) - target) * seen / len(shots)
        slope_a = slope_a + (wrong * cosines).sum(0)
        speed_w, speed_b = MOMENTUM * speed_w + wrong.T @ shots, MOMENTUM * speed_b + wrong.sum(0)
        w, b = w - rate * speed_w, b - rate * speed_b
        if step % EVERY == 0:
            a = a - rate_a * slope_a
    return w, b, a


def start(
    shots: Float[Tensor, "M D"], target: Float[Tensor, "M C"], cosines: Float[Tensor, "M C"]
) -> tuple[Float[Tensor, "C D"], Float[Tensor, " C"], Float[Tensor, " C"]]:
    """w, b and a before the first step."""
    counts = target.sum(0)
    own = (target * cosines).sum(0)[counts > 0] / counts[counts > 0]
    return target.T @ shots, torch.zeros_like(counts), torch.full_like(counts, float(START * own.mean()))


def step_sizes(shots: Float[Tensor, "M D"], cosines: Float[Tensor, "M C"]) -> tuple[float, float]:
    """Of w and b, and of a."""
    largest, most = torch.linalg.matrix_norm(shots, 2) ** 2, cosines.square().sum(0).max().clamp_min(1e-12)
    return float(4 * len(shots) / largest), float(len(shots) / (4 * most))
