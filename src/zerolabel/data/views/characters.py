"""Preprocessing of the built-in character model: gray, full contrast, light ink on a dark ground."""

import torch
from jaxtyping import Float
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)


def gray(images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 1 H W"]:
    """Rec. 601 luma, as Pillow's mode L."""
    weights = torch.tensor(LUMA, device=images.device, dtype=images.dtype).view(1, 3, 1, 1)
    return (images * weights).sum(1, keepdim=True)


def border(images: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B P"]:
    """The outermost pixels of each image."""
    return torch.cat([images[:, 0, 0], images[:, 0, -1], images[:, 0, :, 0], images[:, 0, :, -1]], dim=1)


def stretch(images: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B 1 H W"]:
    """Use the whole range of gray in each image, within [0, 1]; a blank one becomes black."""
    low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    return torch.where(high - low > 0.01, (images - low) / (high - low).clamp(min=0.01), 0.0)


def light_on_dark(images: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B 1 H W"]:
    """Invert the images whose border is light: its median, the lower of the two in the middle, is above one half."""
    pixels = border(images).sort(dim=1).values
    light = pixels[:, (pixels.shape[1] - 1) // 2].view(-1, 1, 1, 1) > 0.5
    return torch.where(light, 1 - images, images)


def read(images: Float[Tensor, "B 3 H W"], mean: float, std: float) -> Float[Tensor, "B 3 H W"]:
    """From colors in [0, 1] to the model's input."""
    return ((light_on_dark(stretch(gray(images))) - mean) / std).expand(-1, 3, -1, -1)
