"""Random distortions of a batch: every image draws its own, every distortion runs once on all that drew it.

RandAugment: Cubuk, Zoph, Shlens, Le. RandAugment: Practical Automated Data Augmentation with a Reduced Search
Space. NeurIPS 2020; the list of 14 and its ranges are those of FixMatch (Sohn et al., NeurIPS 2020, table 12).
Cutout: DeVries, Taylor. Improved Regularization of Convolutional Neural Networks with Cutout. 2017.

All random numbers come from torch's global CPU generator, so that a seed means the same views on any device,
and the sizes of the groups are known without waiting for the device.
"""

import math
from collections.abc import Callable
from typing import cast

import torch
from jaxtyping import Bool, Float, Int, UInt8
from kornia import enhance
from torch import Tensor
from torch.nn import functional as F

Images = Float[Tensor, "B 3 S S"]
Strength = Float[Tensor, " B"]


def crop(pixels: UInt8[Tensor, "B 3 S S"], padding: int, *, flip: bool) -> UInt8[Tensor, "B 3 S S"]:
    """Cut a window of the same size out of the image extended by reflection, and mirror half of them.

    Args:
        pixels: images.
        padding: by how many pixels the window moves at most, each way.
        flip: whether to mirror left and right with probability 1/2.
    """
    n, _, size, _ = pixels.shape
    shift = torch.randint(-padding, padding + 1, (n, 2, 1))
    places = (torch.arange(size) + shift).abs()
    places = (size - 1 - (size - 1 - places).abs()).clamp(0, size - 1)
    rows, columns = places[:, 0], places[:, 1]
    if flip:
        columns = torch.where(torch.rand(n, 1) < 0.5, columns.flip(1), columns)
    rows, columns = rows.to(pixels.device, non_blocking=True), columns.to(pixels.device, non_blocking=True)
    index = (rows[:, :, None] * size + columns[:, None, :]).view(n, 1, size * size)
    return pixels.flatten(2).gather(2, index.expand(n, 3, size * size)).view_as(pixels)


def resized_crop(images: Images, least: float, *, flip: bool) -> Images:
    """Stretch a random window of each image to the whole size, and mirror half of them.

    The window has a uniform share of the area and a log-uniform ratio of its sides between 3/4 and 4/3 (Szegedy et al.,
    Going Deeper with Convolutions, CVPR 2015); a side that would leave the image is cut to it.

    Args:
        images: pixels.
        least: share of the area from which on it is drawn.
        flip: whether to mirror left and right with probability 1/2.
    """
    n = len(images)
    area, ratio = least + (1 - least) * torch.rand(n), ((2 * torch.rand(n) - 1) * math.log(4 / 3)).exp()
    wide, high = (area * ratio).sqrt().clamp_max(1), (area / ratio).sqrt().clamp_max(1)
    x, y = ((2 * torch.rand(n) - 1) * (1 - side) for side in (wide, high))
    mirrored = torch.where(torch.rand(n) < 0.5, -wide, wide) if flip else wide
    zero = torch.zeros(n)
    return warp(images, _affine(mirrored, zero, x, zero, high, y).to(images.device))


def rand_augment(images: Images) -> Images:
    """Distort each image by one of `GEOMETRIC` and `PHOTOMETRIC`, drawn uniformly, with a random strength.

    Args:
        images: pixels in [0, 1].
    """
    n, strength = len(images), torch.rand(len(images))
    sizes = torch.bincount(torch.randint(len(GEOMETRIC) + len(PHOTOMETRIC), (n,)), minlength=14).tolist()
    order = torch.randperm(n)
    return _distort(images, order, strength, sizes)


def _distort(images: Images, order: Int[Tensor, " B"], strength: Strength, sizes: list[int]) -> Images:
    """Give the first ``sizes[0]`` images in `order` the first distortion, and so on."""
    order, strength = (x.to(images.device, non_blocking=True) for x in (order, strength))
    groups = torch.split(images[order], sizes)
    strengths = torch.split(strength, sizes)
    k = len(GEOMETRIC)
    matrices = [matrix(s) for matrix, s in zip(GEOMETRIC, strengths[:k], strict=True)]
    moved = warp(torch.cat(groups[:k]), torch.cat(matrices))
    changed = [
        change(x, s) if len(x) else x for change, x, s in zip(PHOTOMETRIC, groups[k:], strengths[k:], strict=True)
    ]
    return torch.empty_like(images).index_copy_(0, order, torch.cat([moved, *changed]))


def erase(images: Images, side: Float[Tensor, " B"]) -> Images:
    """Cutout: set a square of each image to zero, which is the mean color of normalized images.

    Args:
        images: normalized images; changed in place.
        side: of the square, in pixels; its center is uniform over the image, so that part of it may lie outside.
    """
    n, size = len(images), images.shape[-1]
    center = torch.rand(n, 2, 1) * size
    inside = (torch.arange(size) + 0.5 - center).abs() < side.view(n, 1, 1) / 2
    inside = inside.to(images.device, non_blocking=True)
    hole: Bool[Tensor, "B 1 S S"] = (inside[:, 0, :, None] & inside[:, 1, None, :])[:, None]
    return images.masked_fill_(hole, 0.0)


def warp(images: Images, matrix: Float[Tensor, "B 2 3"]) -> Images:
    """Move pixels by one affine map each, from output to input places, extending the image by reflection."""
    if not len(images):
        return images
    grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def _affine(a: Tensor, b: Tensor, x: Tensor, c: Tensor, d: Tensor, y: Tensor) -> Float[Tensor, "B 2 3"]:
    return torch.stack([a, b, x, c, d, y], 1).view(-1, 2, 3)


def _signed(strength: Strength, limit: float) -> tuple[Strength, Strength, Strength]:
    """Uniform in [-limit, limit], and the 0 and 1 that go with it."""
    value = (2 * strength - 1) * limit
    return value, torch.zeros_like(value), torch.ones_like(value)


def rotate(strength: Strength) -> Float[Tensor, "B 2 3"]:
    """By up to 30 degrees either way."""
    angle, zero, _ = _signed(strength, math.pi / 6)
    return _affine(angle.cos(), -angle.sin(), zero, angle.sin(), angle.cos(), zero)


def shear_x(strength: Strength) -> Float[Tensor, "B 2 3"]:
    """Rows slide by up to 0.3 of their distance from the middle."""
    value, zero, one = _signed(strength, 0.3)
    return _affine(one, value, zero, zero, one, zero)


def shear_y(strength: Strength) -> Float[Tensor, "B 2 3"]:
    """Columns slide by up to 0.3 of their distance from the middle."""
    value, zero, one = _signed(strength, 0.3)
    return _affine(one, zero, zero, value, one, zero)


def translate_x(strength: Strength) -> Float[Tensor, "B 2 3"]:
    """By up to 0.3 of the width; an image is 2 wide in the units of the map."""
    value, zero, one = _signed(strength, 0.6)
    return _affine(one, zero, value, zero, one, zero)


def translate_y(strength: Strength) -> Float[Tensor, "B 2 3"]:
    """By up to 0.3 of the height."""
    value, zero, one = _signed(strength, 0.6)
    return _affine(one, zero, zero, zero, one, value)


def identity(images: Images, strength: Strength) -> Images:
    """Leave the image as it is."""
    return images


def auto_contrast(images: Images, strength: Strength) -> Images:
    """Stretch each channel to [0, 1]; a channel of one value stays."""
    low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    return torch.where(high > low, (images - low) / (high - low).clamp_min(1e-6), images)


def equalize(images: Images, strength: Strength) -> Images:
    """Flatten the histogram of each channel."""
    return cast(Tensor, enhance.equalize(images))


def brightness(images: Images, strength: Strength) -> Images:
    """Keep 5 to 95% of the light."""
    return images * _factor(strength).view(-1, 1, 1, 1)


def contrast(images: Images, strength: Strength) -> Images:
    """Keep 5 to 95% of the distance to the image's mean gray."""
    return cast(Tensor, enhance.adjust_contrast_with_mean_subtraction(images, _factor(strength)))


def color(images: Images, strength: Strength) -> Images:
    """Keep 5 to 95% of the distance to the pixel's gray."""
    return cast(Tensor, enhance.adjust_saturation_with_gray_subtraction(images, _factor(strength)))


def sharpness(images: Images, strength: Strength) -> Images:
    """Blur: keep 5 to 95% of the distance to the smoothed image."""
    return cast(Tensor, enhance.sharpness(images, _factor(strength)))


def posterize(images: Images, strength: Strength) -> Images:
    """Keep the upper 4 to 8 bits of each value."""
    step = 2 ** (strength * 5).floor().clamp(max=4).view(-1, 1, 1, 1)
    return ((images * 255).round() / step).floor() * step / 255


def solarize(images: Images, strength: Strength) -> Images:
    """Invert the values above a threshold in [0, 1]."""
    return torch.where(images < strength.view(-1, 1, 1, 1), images, 1 - images)


def _factor(strength: Strength) -> Strength:
    return 0.05 + 0.9 * strength


GEOMETRIC: tuple[Callable[[Strength], Tensor], ...] = (rotate, shear_x, shear_y, translate_x, translate_y)
PHOTOMETRIC: tuple[Callable[[Images, Strength], Images], ...] = (
    identity,
    auto_contrast,
    equalize,
    brightness,
    contrast,
    color,
    sharpness,
    posterize,
    solarize,
)

__all__ = ["GEOMETRIC", "PHOTOMETRIC", "crop", "erase", "rand_augment", "resized_crop", "warp"]
