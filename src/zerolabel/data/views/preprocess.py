"""The eval view: from the pixels of one image, of any size, to the network's input."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from zerolabel.errors import InputError, nearest

FITS = ("squash", "crop")
INTERPOLATIONS = ("bilinear", "bicubic")
LONGEST = 16
"""Maximum aspect ratio before a center crop; the ends of longer images, outside the crop, are cut off first
to bound memory."""
RGB = tuple[float, float, float]


@dataclass(frozen=True)
class Preprocess:
    """The one definition of the eval view; the ONNX exporter mirrors it operation by operation.

    Resize in float with antialiasing and without rounding, clamp to [0, 255] (bicubic weights overshoot),
    divide by 255, subtract the mean, divide by the standard deviation.

    Attributes:
        size: side S of the square output, in pixels.
        mean: per channel, of pixels in [0, 1].
        std: per channel, of pixels in [0, 1].
        fit: "squash" resizes both sides to S; "crop" resizes the shorter side to S, keeping the proportions,
            and takes the center, as torchvision does (a half is rounded to the even pixel).
        interpolation: "bilinear" or "bicubic".

    Raises:
        InputError: a value is out of its range.
    """

    size: int
    mean: RGB
    std: RGB
    fit: str = "squash"
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        if self.size < 1:
            raise InputError(f"the input size of a preprocessing must be at least 1 pixel, not {self.size}.")
        if len(self.mean) != 3 or len(self.std) != 3 or not all(s > 0 for s in self.std):
            raise InputError(f"preprocessing needs 3 means and 3 positive stds, not {self.mean} and {self.std}.")
        for name, value, known in (
            ("fit", self.fit, FITS),
            ("interpolation", self.interpolation, INTERPOLATIONS),
        ):
            if value not in known:
                raise InputError(f"preprocessing has no {name} '{value}'{nearest(value, known)}")

    def __call__(self, image: UInt8[Tensor, "H W 3"]) -> Float[Tensor, "3 S S"]:
        """The network's input for one image of any size."""
        return self.normalize(self.resize(image))

    def resize(self, image: UInt8[Tensor, "H W 3"]) -> Float[Tensor, "3 S S"]:
        """Pixels in [0, 255] at the network's size, not rounded."""
        if self.fit == "crop":
            top, left, height, width = middle(image.shape[0], image.shape[1])
            image = image[top : top + height, left : left + width]
        size = self.resized(image.shape[0], image.shape[1])
        top, left = round((size[0] - self.size) / 2), round((size[1] - self.size) / 2)
        done = [
            F.interpolate(
                image[None, None, :, :, channel].float(),  # one at a time, since large images are large in floats
                size,
                mode=self.interpolation,
                antialias=True,
                align_corners=False,
            )[0, 0, top : top + self.size, left : left + self.size]
            for channel in range(3)
        ]
        return torch.stack(done).clamp(0, 255)

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """Height and width after the resize of the `middle`, before the crop; the longer side is rounded down."""
        if self.fit == "squash":
            return self.size, self.size
        short = min(height, width)
        return self.size * height // short, self.size * width // short

    def normalize(self, pixels: Float[Tensor, "... 3 S S"] | UInt8[Tensor, "... 3 S S"]) -> Float[Tensor, "... 3 S S"]:
        """From pixels in [0, 255] to the network's input."""
        mean, std = (torch.tensor(values, device=pixels.device).view(3, 1, 1) for values in (self.mean, self.std))
        return (pixels.float() / 255 - mean) / std

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Preprocess":
        """Rebuild from what `to_dict` gave.

        Raises:
            InputError: a name is missing or unknown.
        """
        known = {field.name for field in fields(cls)}
        wrong = (set(data) - known) | ({"size", "mean", "std"} - set(data))
        if wrong:
            raise InputError(f"a preprocessing with a missing or unknown entry '{min(wrong)}' cannot be read.")
        return cls(**{**data, "mean": tuple(data["mean"]), "std": tuple(data["std"])})


def middle(height: int, width: int) -> tuple[int, int, int, int]:
    """The part of an image that is resized before its center is taken: top, left, height and width."""
    longest = LONGEST * min(height, width)
    rows, columns = min(height, longest), min(width, longest)
    return (height - rows) // 2, (width - columns) // 2, rows, columns


IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and standard deviation that pretrained timm networks expect."""


def statistics(pixels: UInt8[np.ndarray, "N 3 S S"]) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Mean and standard deviation per channel, of pixels in [0, 1], over at most about 2,000 images."""
    rows = torch.from_numpy(pixels[:: max(1, len(pixels) // 2000)].copy()).double() / 255
    mean, std = rows.mean((0, 2, 3)).tolist(), rows.std((0, 2, 3)).clamp_min(0.05).tolist()
    return (round(mean[0], 4), round(mean[1], 4), round(mean[2], 4)), (
        round(std[0], 4),
        round(std[1], 4),
        round(std[2], 4),
    )


__all__ = ["LONGEST", "Preprocess", "middle"]
