"""From clean glyphs to pictures of them: shape, resolution, shade and noise, a whole batch at a time."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from tools.glyphs.captions import STYLES
from tools.glyphs.render import GLYPH, KINDS, SIDE
from zerolabel.vlms import glyphs

RESOLUTIONS = (8, 8, 10, 12, 14, 16, 20, 24, 28)


def uniform(count: int, low: float, high: float) -> Tensor:
    """``count`` numbers as (B 1 1 1)."""
    return torch.empty(count, 1, 1, 1).uniform_(low, high)


def chosen(count: int, share: float) -> Tensor:
    """(B 1 1 1) booleans, true for about ``share`` of them."""
    return torch.rand(count, 1, 1, 1) < share


def reweigh(ink: Tensor) -> Tensor:
    """Thicken or thin the strokes by part of a pixel of the bank."""
    amount = uniform(len(ink), -0.8, 1.0)
    thick, thin = F.max_pool2d(ink, 3, 1, 1), -F.max_pool2d(-ink, 3, 1, 1)
    worn = torch.where(amount > 0, ink + amount * (thick - ink), ink - amount * (thin - ink))
    too_thin = worn.mean((1, 2, 3), keepdim=True) < 0.5 * ink.mean((1, 2, 3), keepdim=True)
    return torch.where(too_thin, ink, worn)


def placement(count: int) -> tuple[Tensor, Tensor, Tensor]:
    """An affine map (B 2 3) from picture to bank, and each glyph's size and slope."""
    size = torch.where(
        torch.rand(count) < 0.6, torch.empty(count).uniform_(0.7, 1.05), torch.empty(count).uniform_(0.45, 0.8)
    )
    angle = torch.randn(count) * 0.12
    shear = torch.randn(count) * 0.2
    stretch = torch.exp(torch.randn(count) * 0.12)
    scale = size * SIDE / GLYPH  # with scale 1 the whole bank image fills the picture
    sx, sy = scale * stretch, scale / stretch
    cos, sin = torch.cos(angle), torch.sin(angle)
    forward = torch.stack([sx * cos, sx * shear - sy * sin, sx * sin, sy * cos], 1).view(-1, 2, 2)
    slack = (1 - size).clamp(min=0.04)[:, None] * torch.empty(count, 2).uniform_(-1, 1) * 0.8
    inverse = torch.linalg.inv(forward)
    return torch.cat([inverse, -inverse @ slack[:, :, None]], 2), size, angle - shear


def bend(count: int, size: int) -> Tensor:
    """A smooth random displacement (B size size 2) in grid units."""
    strength = torch.rand(count, 1, 1, 1) * 0.11
    coarse = torch.randn(count, 2, 4, 4) * strength
    field = F.interpolate(coarse, (size, size), mode="bicubic", align_corners=True)
    return field.permute(0, 2, 3, 1)


def coarsen(pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Half of the batch passes through fewer pixels and few levels of gray; also the resolution of each."""
    size = pictures.shape[-1]
    resolution = torch.full((len(pictures),), size)
    parts = []
    for part, members in enumerate(torch.arange(len(pictures)).chunk(2 * len(RESOLUTIONS))):
        if part >= len(RESOLUTIONS):
            parts.append(pictures[members])
            continue
        side = RESOLUTIONS[part]
        small = F.interpolate(pictures[members], (side, side), mode="area")
        small = torch.where(chosen(len(members), 0.5), (small * 16).round() / 16, small)
        mode = "bicubic" if torch.rand(()) < 0.7 else "bilinear"
        parts.append(F.interpolate(small, (size, size), mode=mode, align_corners=False).clamp(0, 1))
        resolution[members] = side
    return torch.cat(parts), resolution


def blur(pictures: Tensor) -> Tensor:
    """A 3 x 3 binomial blur of part of the batch, blended in."""
    kernel = torch.tensor([1.0, 2.0, 1.0])
    kernel = (kernel[:, None] * kernel / 16)[None, None]
    soft = F.conv2d(F.pad(pictures, (1, 1, 1, 1), mode="replicate"), kernel)
    return torch.lerp(pictures, soft, uniform(len(pictures), 0, 1) * chosen(len(pictures), 0.4))


def shade(pictures: Tensor) -> Tensor:
    """Uneven ground, faint ink, noise and, for half of them, dark ink on light."""
    count, size = len(pictures), pictures.shape[-1]
    ramp = torch.linspace(-0.5, 0.5, size)
    slope = uniform(count, -1, 1) * ramp[None, None, :, None] + uniform(count, -1, 1) * ramp[None, None, None, :]
    ground = uniform(count, 0, 0.3) * chosen(count, 0.4) + 0.25 * slope * chosen(count, 0.25)
    ink = uniform(count, 0.6, 1.0)
    pictures = ground + (ink - ground) * pictures
    pictures = pictures + torch.randn_like(pictures) * uniform(count, 0, 0.12) * chosen(count, 0.4)
    pictures = torch.where(chosen(count, 0.5), 1 - pictures, pictures)
    return pictures.clamp(0, 1)


def render(clean: Tensor, kind: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Bank glyphs uint8 (B SIDE SIDE) -> the model's input (B 3 size size) and which STYLES each has (B S)."""
    count = len(clean)
    ink = reweigh(clean[:, None].float() / 255)
    heavy = ink.mean((1, 2, 3))
    theta, extent, slope = placement(count)
    grid = F.affine_grid(theta, [count, 1, size, size], align_corners=False) + bend(count, size)
    pictures = F.grid_sample(ink, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    pictures = ((pictures - 0.5) * uniform(count, 0.9, 2.0) + 0.5 + uniform(count, 0, 0.15)).clamp(0, 1)
    pictures = pictures * (pictures > 0.02)
    order = torch.randperm(count)
    coarse, resolution = coarsen(pictures[order])
    back = order.argsort()
    pictures, resolution = shade(blur(coarse[back])), resolution[back]
    pictures = glyphs.stretch(pictures)
    pictures = torch.where(chosen(count, 0.85), glyphs.light_on_dark(pictures), pictures)
    return glyphs.standardize(pictures), styles(kind, resolution, extent, heavy, slope)


def styles(kind: Tensor, resolution: Tensor, extent: Tensor, heavy: Tensor, slope: Tensor) -> Tensor:
    """(B S) booleans in the order of STYLES."""
    hand = kind <= KINDS.index("hand font")
    rules = {
        "hand": hand, "print": ~hand, "pixel": resolution <= 12, "small": extent < 0.6, "large": extent > 0.9,
        "thin": heavy < 0.09, "bold": heavy > 0.2, "tilted": slope.abs() > math.radians(15),
    }  # fmt: skip
    return torch.stack([rules[style] for style in STYLES], 1)
