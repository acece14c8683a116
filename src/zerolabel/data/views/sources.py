"""Sources of training batches: pixels or frozen features, as named views."""

import mmap
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.nn import functional as F

from zerolabel.data.views import augment
from zerolabel.data.views.preprocess import Preprocess
from zerolabel.errors import InputError, nearest

VIEWS = ("eval", "weak", "strong")
STRONG = ("randaugment", "cutout")
CROPS = ("padding", "resized")
LEAST = 0.5
"""Share of the area from which on a resized crop is drawn."""
RESIDENT_BYTES = 4 * 2**30


class Pixels:
    """Views of N images of S x S pixels; row i is image i.

    - eval: as it is, normalized.
    - weak: a crop out of the image extended by S/8 each side (4 at 32 pixels, 8 at 64), by reflection, and
      a horizontal flip where allowed ("padding"); or a window of half the area to all of it, stretched ("resized").
    - strong: weak, then one of RandAugment's 14 distortions with a random strength and a square of up to half
      the side erased ("randaugment"); or weak and a square of half the side erased ("cutout"), or of so many pixels
      ("cutout:16").

    Every name in a call draws its own random numbers, from torch's global CPU generator.

    Args:
        pixels: unsigned bytes, in memory or mapped from a file.
        preprocess: gives the size and the normalization.
        flip: whether an image and its mirror image mean the same; not so for characters.
        strong: which strong view, "randaugment", "cutout" or "cutout:PIXELS".
        crop: which weak view, "padding" or "resized".
        device: where the views are made and left. Pixels of up to 4 GiB are kept there.
        channels_last: memory layout of the views, the faster one for convolutions.

    Raises:
        InputError: the pixels do not have the preprocessing's size, or there is no such strong view or crop.
    """

    def __init__(
        self,
        pixels: UInt8[np.ndarray, "N 3 S S"],
        preprocess: Preprocess,
        *,
        flip: bool,
        strong: str = "randaugment",
        crop: str = "padding",
        device: str | torch.device = "cpu",
        channels_last: bool = True,
    ) -> None:
        if pixels.shape[-1] != preprocess.size:
            raise InputError(f"pixels of size {pixels.shape[-1]} cannot feed an input of size {preprocess.size}.")
        kind, _, side = strong.partition(":")
        if strong not in STRONG and not (kind == "cutout" and side.isdecimal() and int(side) > 0):
            raise InputError(f"there is no strong view '{strong}'{nearest(strong, STRONG)}")
        if crop not in CROPS:
            raise InputError(f"there is no crop '{crop}'{nearest(crop, CROPS)}")
        self.preprocess, self.flip, self.strong, self.crop = preprocess, flip, strong, crop
        self.device = torch.device(device)
        self.layout = torch.channels_last if channels_last else torch.contiguous_format
        self.pixels = pixels
        resident = self.device.type != "cpu" and pixels.nbytes <= RESIDENT_BYTES
        self._on_device = torch.from_numpy(np.array(pixels)).to(self.device) if resident else None

    def __getstate__(self) -> dict[str, Any]:
        """For other processes, which map the same file and hold no copy on a device."""
        state = {**vars(self), "_on_device": None}
        if isinstance(self.pixels, np.memmap) and isinstance(self.pixels.base, mmap.mmap):
            rows = self.pixels
            state["pixels"] = partial(np.memmap, rows.filename, rows.dtype, "r", rows.offset, rows.shape)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        if callable(self.pixels):
            self.pixels = self.pixels()

    def __len__(self) -> int:
        return len(self.pixels)

    def view(self, name: str, index: Int[Tensor, " B"]) -> Float[Tensor, "B 3 S S"]:
        """One view of some images."""
        return self.views((name,), index)[0]

    def views(self, names: tuple[str, ...], index: Int[Tensor, " B"]) -> tuple[Float[Tensor, "B 3 S S"], ...]:
        """Several views of the same images, read once.

        Raises:
            InputError: a name is not "eval", "weak" or "strong".
        """
        _check(names)
        rows = self._read(index)
        return tuple(self._make(name, rows).contiguous(memory_format=self.layout) for name in names)

    def _read(self, index: Int[Tensor, " B"]) -> UInt8[Tensor, "B 3 S S"]:
        if self._on_device is not None:
            return self._on_device[index.to(self.device)]
        return torch.from_numpy(np.asarray(self.pixels[index.cpu().numpy()])).to(self.device)

    def _make(self, name: str, rows: UInt8[Tensor, "B 3 S S"]) -> Float[Tensor, "B 3 S S"]:
        if name == "eval":
            return self.preprocess.normalize(rows)
        size = self.preprocess.size
        if self.crop == "resized":
            window = augment.resized_crop(rows.float(), LEAST, flip=self.flip)
            rows = window.clamp(0, 255).round().to(torch.uint8)
        else:
            rows = augment.crop(rows, (size + 4) // 8, flip=self.flip)
        if name == "weak":
            return self.preprocess.normalize(rows)
        kind, _, side = self.strong.partition(":")
        if kind == "cutout":
            square = float(side) if side else size / 2
            return augment.erase(self.preprocess.normalize(rows), torch.full((len(rows),), square))
        distorted = augment.rand_augment(rows.float() / 255)
        return augment.erase(self.preprocess.normalize(distorted * 255), torch.rand(len(rows)) * size / 2)


class Features:
    """Views of the frozen features of N images; row i is image i, of length 1.

    - eval: as it is.
    - weak: isotropic Gaussian noise of expected length 0.1 added (a turn of about 6 degrees), length 1 again.
    - strong: each entry dropped with probability 0.2, noise of expected length 0.3 (together a turn of about
      30 degrees), length 1 again.

    The noise of a row of zeros is all that it has left; no VLM gives such a row.

    Args:
        features: of length 1 each.
        device: where they are kept.
    """

    def __init__(self, features: Float[Tensor, "N D"], device: str | torch.device = "cpu") -> None:
        self.features = features.to(device)

    def __len__(self) -> int:
        return len(self.features)

    def view(self, name: str, index: Int[Tensor, " B"]) -> Float[Tensor, "B D"]:
        """One view of some images."""
        return self.views((name,), index)[0]

    def views(self, names: tuple[str, ...], index: Int[Tensor, " B"]) -> tuple[Float[Tensor, "B D"], ...]:
        """Several views of the same images.

        Raises:
            InputError: a name is not "eval", "weak" or "strong".
        """
        _check(names)
        rows = self.features[index.to(self.features.device)]
        return tuple(_disturb(name, rows) for name in names)


def _disturb(name: str, rows: Float[Tensor, "B D"]) -> Float[Tensor, "B D"]:
    if name == "eval":
        return rows
    noise = torch.randn(rows.shape).to(rows) / rows.shape[1] ** 0.5
    if name == "weak":
        return F.normalize(rows + 0.1 * noise, dim=1)
    kept = (torch.rand(rows.shape) >= 0.2).to(rows)
    return F.normalize(rows * kept + 0.3 * noise, dim=1)


def _check(names: tuple[str, ...]) -> None:
    for name in names:
        if name not in VIEWS:
            raise InputError(f"there is no view '{name}'{nearest(name, VIEWS)}")


__all__ = ["VIEWS", "Features", "Pixels"]
