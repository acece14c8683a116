"""All images of a set as squares of one size, in a file."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from zerolabel.data.images.decoding import Unreadable, decode, enough_memory
from zerolabel.data.images.image_set import ImageSet
from zerolabel.errors import InputError

_BLOCK = 256


def resize(image: Image.Image, size: int) -> UInt8[np.ndarray, "3 size size"]:
    """Squash an RGB image to a square, with antialiased bilinear interpolation in float32, then round."""
    import torch
    from torch.nn import functional

    pixels = torch.from_numpy(np.array(image))
    done = [
        functional.interpolate(
            pixels[None, None, :, :, channel].float(),  # one at a time, since large images are large in floats
            (size, size),
            mode="bilinear",
            align_corners=False,
            antialias=True,
        )[0, 0]
        for channel in range(3)
    ]
    array: np.ndarray = torch.stack(done).round().clamp(0, 255).byte().numpy()
    return array


def pixels(images: ImageSet, size: int, store: str | os.PathLike[str]) -> UInt8[np.ndarray, "N 3 size size"]:
    """All images as squares of one size, decoded once and kept in a file.

    The file is mapped, not read: memory stays bounded however many images there are. Beside it lies the content hash
    of each finished row, so that an interrupted call continues where it stopped and an image that changed is done
    again.

    Args:
        images: N readable images.
        size: side of the squares, in pixels.
        store: the ``.npy`` file to make or to reuse.

    Returns:
        The pixels, 0 to 255, as a read-only map of the file.

    Raises:
        InputError: an image is unreadable; annotation lists such files and leaves them out.
    """
    store = Path(store)
    store.parent.mkdir(parents=True, exist_ok=True)
    rows, kept = _mapped(store, (len(images), 3, size, size))
    done, _ = _mapped(store.with_suffix(".sha256.npy"), (len(images), 32))
    if not kept:
        done[:] = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for block in _blocks(range(len(images)), _BLOCK):
            for i, digest, row in pool.map(lambda i: _row(images, i, size, done[i].tobytes()), block):
                if row is not None:
                    done[i] = 0
                    rows[i], done[i] = row, np.frombuffer(digest, np.uint8)
    rows.flush()
    done.flush()
    stored: np.ndarray = np.load(store, mmap_mode="r")
    return stored


def _row(images: ImageSet, index: int, size: int, known: bytes) -> tuple[int, bytes, np.ndarray | None]:
    """The hash of an image and its pixels; no pixels where the hash is the known one."""
    try:
        data = images.read_bytes(index)
        digest = hashlib.sha256(data).digest()
        if digest == known:
            return index, digest, None
        with enough_memory():
            return index, digest, resize(decode(data), size)
    except Unreadable as error:
        raise InputError(
            f"the image {images.place(index)} cannot be read ({error}); replace it or leave it out."
        ) from None


def _mapped(path: Path, shape: tuple[int, ...]) -> tuple[np.memmap, bool]:
    """A writable map of an .npy file of bytes, and whether it was there; where it does not fit, zeros replace it."""
    try:
        found = np.lib.format.open_memmap(path, mode="r+")
        if found.shape == shape and found.dtype == np.uint8:
            return found, True
    except (OSError, ValueError):
        pass
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape), False


def _blocks(items: Iterable[int], size: int) -> Iterator[list[int]]:
    iterator = iter(items)
    while block := list(islice(iterator, size)):
        yield block
