"""Stores that read the images of a set lazily; they can be pickled and used from any thread or process."""

from dataclasses import dataclass, field
from io import BytesIO
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from PIL import Image

from zerolabel.data.images.remote import allowed
from zerolabel.data.images.urls import content, is_url, joined
from zerolabel.errors import InputError


@runtime_checkable
class Store(Protocol):
    """Gives the content of an image by its row, or by its name."""

    def read(self, row: int, name: str) -> bytes:
        """The content of one image file.

        Args:
            row: its place among all images of the store.
            name: its name in the set.

        Raises:
            Unreadable: it is missing, refused or cannot be read; the message says why.
        """
        ...


class Found(NamedTuple):
    """The images of a source: what names are relative to, N names in a stable order, and where the content lies."""

    root: str
    names: tuple[str, ...]
    store: Store


@dataclass(frozen=True)
class Files:
    """Single files, on this machine or behind URLs.

    A list from elsewhere may name files relative to itself and addresses of its own protocol, see
    `zerolabel.data.images.remote.allowed`.

    Attributes:
        base: folder or URL that names are relative to.
    """

    base: str

    def read(self, row: int, name: str) -> bytes:
        """See `Store.read`."""
        if is_url(self.base):
            return content(joined(self.base, allowed(name, self.base)), guarded=True)
        return content(joined(self.base, name))


@dataclass(frozen=True)
class Listed(Files):
    """Files of a list whose URLs hold passwords or tokens, which their names in the set do not.

    Attributes:
        places: URL, or name relative to ``base``, of each row.
    """

    places: tuple[str, ...] = field(default=(), repr=False)

    def read(self, row: int, name: str) -> bytes:
        """See `Store.read`."""
        return super().read(row, self.places[row])


@dataclass(frozen=True, eq=False)
class Arrays:
    """Pixels in memory.

    Attributes:
        pixels: bytes, 0 to 255; gray, or with 1 (gray), 3 (RGB) or 4 (RGB and opacity) channels last.
    """

    pixels: np.ndarray

    def __post_init__(self) -> None:
        shape = self.pixels.shape
        known = len(shape) in (3, 4) and shape[3:] in ((), (1,), (3,), (4,)) and 0 not in shape
        if self.pixels.dtype != np.uint8 or not known:
            raise InputError(
                f"an array of images is uint8 of N x height x width, or with 1, 3 or 4 channels last, not "
                f"{self.pixels.dtype} of {' x '.join(map(str, shape))}."
            )

    def read(self, row: int, name: str) -> bytes:
        """The pixels as a PPM file, or a PNG where they have opacity: the same pixels give the same content."""
        array = np.ascontiguousarray(self.pixels[row])
        buffer = BytesIO()
        form = "PNG" if array.shape[2:] == (4,) else "PPM"
        Image.fromarray(array[..., 0] if array.shape[2:] == (1,) else array).save(buffer, form)
        return buffer.getvalue()
