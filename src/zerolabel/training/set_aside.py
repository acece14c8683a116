"""Images of the pool that training does not learn: what is decided without labels is decided on them.

A student may memorize its own pool, and then looks right there and fails on new images. So a share of the images
is set aside: the network that is deployed is chosen, and alarms are raised, by predictions on these.
"""

import torch
from jaxtyping import Int
from torch import Tensor

from zerolabel.annotations import Annotations

FEWEST = 300
"""Pools of fewer images are learned whole: so few images set aside would decide nothing."""
MOST = 1_000


def set_aside(annotations: Annotations, share: float, seed: int) -> Int[Tensor, " S"]:
    """Ids of the images set aside, in rising order; none of a small pool, and none with a human label.

    Args:
        annotations: of the N images of the pool.
        share: of the images, in [0, 1).
        seed: draws them.
    """
    free = (~annotations.human).nonzero().squeeze(1)
    count = min(int(share * len(annotations)), MOST, len(free)) if len(annotations) >= FEWEST else 0
    order = torch.randperm(len(free), generator=torch.Generator().manual_seed(seed))
    return free[order[:count]].sort().values


def remaining(n_images: int, aside: Int[Tensor, " S"]) -> Int[Tensor, " L"]:
    """Ids of the images that are learned."""
    learned = torch.ones(n_images, dtype=torch.bool)
    learned[aside] = False
    return learned.nonzero().squeeze(1)


__all__ = ["FEWEST", "MOST", "remaining", "set_aside"]
