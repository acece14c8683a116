"""Combinations of two images and of their targets.

MixUp: Zhang, Cisse, Dauphin, Lopez-Paz. mixup: Beyond Empirical Risk Minimization. ICLR 2018.
FMix: Harris, Marcu, Painter, Niranjan, Prugel-Bennett, Hare. FMix: Enhancing Mixed Sample Data Augmentation. 2020
(arXiv 2002.12047).
"""

from dataclasses import dataclass
from math import ceil, floor

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Mix:
    """One draw: row i is mixed with row ``order[i]``.

    Attributes:
        share: of row i itself.
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


@dataclass(frozen=True)
class Patchwork:
    """One draw of FMix: row i keeps the places where the mask is 1 and takes the others from row ``order[i]``.

    Attributes:
        mask: 1 or 0 for each place of an image, or for each feature.
        targets: mixes the targets by the share that was drawn; the mask keeps it up to one place.
    """

    mask: Float[Tensor, "..."]
    targets: Mix

    def __call__(self, rows: Float[Tensor, "B ..."]) -> Float[Tensor, "B ..."]:
        """``mask * rows + (1 - mask) * rows[order]``."""
        return torch.where(self.mask.bool(), rows, rows[self.targets.order])


def draw_mask(rows: Float[Tensor, "B ..."], alpha: float, decay: float = 3.0) -> Patchwork:
    """A binary mask of low frequencies for a batch of images (B 3 H W) or of feature vectors (B D).

    Gaussian noise in the frequency domain, divided by ``frequency^decay``, is transformed back; the places of the
    largest values are kept, a share of them from Beta(alpha, alpha). Their number is rounded up or down by chance.

    Args:
        rows: give shape and device.
        alpha: parameter of the distribution; the paper's is 1.
        decay: the paper's is 3; larger ones make larger patches.
    """
    shape = rows.shape[2:] if rows.dim() == 4 else rows.shape[1:]
    squares = torch.zeros(())
    for size in shape[:-1]:
        squares = squares[..., None] + torch.fft.fftfreq(size) ** 2
    squares = squares[..., None] + torch.fft.rfftfreq(shape[-1]) ** 2
    frequency = squares.sqrt().clamp_min(1 / max(shape))
    spectrum = torch.randn(*frequency.shape, 2) / frequency[..., None] ** decay
    picture = torch.fft.irfftn(torch.view_as_complex(spectrum), shape).flatten()
    share = float(torch.distributions.Beta(alpha, alpha).sample())
    kept = (ceil if torch.rand(()) > 0.5 else floor)(share * len(picture))
    mask = torch.zeros_like(picture)
    mask[picture.argsort(descending=True)[:kept]] = 1
    order = torch.randperm(len(rows), device=rows.device)
    return Patchwork(mask.view(shape).to(rows.device), Mix(share, order))
