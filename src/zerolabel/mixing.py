"""MixUp: convex combinations of images and of their targets (Zhang, Cisse, Dauphin, Lopez-Paz, ICLR 2018)."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Mix:
    """One draw: row i is mixed with row ``order[i]``.

    Attributes:
        share: of row i itself, at least a half.
        order: a permutation of the rows.
    """

    share: float
    order: Int[Tensor, " B"]

    def __call__(self, rows: Float[Tensor, "B ..."]) -> Float[Tensor, "B ..."]:
        """``share * rows + (1 - share) * rows[order]``."""
        return self.share * rows + (1 - self.share) * rows[self.order]


def draw(n: int, alpha: float, device: torch.device) -> Mix:
    """A share from Beta(alpha, alpha), the larger of it and its complement, and a permutation of n rows.

    Args:
        n: number of rows.
        alpha: parameter of the distribution; 0 does not mix.
        device: of the permutation.
    """
    share = float(torch.distributions.Beta(alpha, alpha).sample()) if alpha > 0 else 1.0
    return Mix(max(share, 1 - share), torch.randperm(n, device=device))
