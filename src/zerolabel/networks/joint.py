"""Features of several image encoders side by side: of a vision-language model, and of vision-only ones beside it."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from zerolabel.data.views.preprocess import RGB
from zerolabel.networks.timm_backbone import timm_backbone


def joined(parts: Sequence[Float[Tensor, "N _"]]) -> Float[Tensor, "N D"]:
    """Features of K encoders in one row, of length 1; each part has length 1 / sqrt(K)."""
    return parts[0] if len(parts) == 1 else torch.cat(list(parts), 1) / len(parts) ** 0.5


def joined_texts(texts: Float[Tensor, "A C D"], widths: Sequence[int]) -> Float[Tensor, "A C E"]:
    """Text features for joined image features: their product is the one of the first part alone.

    Args:
        texts: of the first encoder.
        widths: dimensions of the parts.
    """
    padded: Tensor = functional.pad(texts, (0, sum(widths) - texts.shape[2])) * len(widths) ** 0.5
    return padded


class VisionTower(nn.Module):
    """A frozen timm network that reads what another encoder's preprocessing gives: images -> features of length 1.

    Pixels are normalized as the network was trained, and resized where it cannot be built for their size.

    Args:
        name: of the timm architecture.
        backbone: the network without its head.
        size: side of its input in pixels.
        feature_dim: number of its features.
        before: mean and standard deviation by which the pixels are normalized that it is given.
        own: mean and standard deviation of its training.
    """

    factor: Float[Tensor, "3 1 1"]
    shift: Float[Tensor, "3 1 1"]

    def __init__(
        self, name: str, backbone: nn.Module, size: int, feature_dim: int, before: tuple[RGB, RGB], own: tuple[RGB, RGB]
    ) -> None:
        super().__init__()
        self.name, self.size, self.feature_dim = name, size, feature_dim
        self.backbone = backbone.requires_grad_(False).eval()
        (mean, std), (own_mean, own_std) = (map(torch.tensor, pair) for pair in (before, own))
        self.register_buffer("factor", (std / own_std).view(3, 1, 1))
        self.register_buffer("shift", ((mean - own_mean) / own_std).view(3, 1, 1))

    @property
    def config(self) -> dict[str, object]:
        """Entries that rebuild the architecture."""
        return {"name": self.name, "size": self.size}

    @classmethod
    def build(cls, config: Mapping[str, object]) -> "VisionTower":
        """A tower of random weights, for weights that are loaded next.

        Raises:
            InputError: the installed timm cannot build it.
        """
        name, size = str(config["name"]), int(str(config["size"]))
        backbone, feature_dim, _ = timm_backbone(name, size, pretrained=False)
        zero, one = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
        return cls(name, backbone, size, feature_dim, (zero, one), (zero, one))

    def train(self, mode: bool = True) -> "VisionTower":
        """Stay in eval mode: a frozen encoder has no other."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, x: Float[Tensor, "B 3 S S"]) -> Float[Tensor, "B D"]:
        """Features of length 1."""
        x = x * self.factor + self.shift
        if x.shape[-1] != self.size:
            x = functional.interpolate(x, (self.size, self.size), mode="bilinear", align_corners=False)
        features: Tensor = functional.normalize(self.backbone(x), dim=1)
        return features


__all__ = ["VisionTower", "joined", "joined_texts"]
