"""Embeddings of N images: names, and unit vectors that are read from files when they are asked for."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from zerolabel.data.embeddings.vectors import Block, same_width
from zerolabel.errors import InputError
from zerolabel.errors.printable import cut

UNIT, EXACT = 2e-2, 1e-5
"""Tolerances of a vector's length around 1: for accepting it, given float16 rounding, and for leaving it unchanged."""
CHUNK = 1 << 22
"""Values in memory at once."""
_SHOWN = 200


@dataclass(frozen=True)
class Origin:
    """The model that computed the embeddings, as recorded by `zerolabel embed`.

    Attributes:
        model: its name, as after ``--vlm`` or ``--encoder``.
        revision: hash of its weights.
        preprocessing: hash of what its preprocessing makes of a fixed picture.
    """

    model: str
    revision: str
    preprocessing: str


@dataclass(frozen=True, eq=False)
class Embeddings:
    """Embeddings of N images.

    Attributes:
        source: folder or file that they were read from.
        file_names: N names.
        blocks: their vectors, in the order of the names.
        origin: what made them; none where that is not known.
        digests: content hashes of the images; none where these are not known.
        sizes: width and height of the images in pixels; 0 where not known.
        found_by_name: rows of images whose content the embeddings do not know, by that content, once they are found.

    Raises:
        InputError: their numbers do not fit, a name is missing or is there twice, or dimensions differ.
    """

    source: str
    file_names: tuple[str, ...]
    blocks: tuple[Block, ...] = field(repr=False)
    origin: Origin | None = None
    digests: UInt8[np.ndarray, "N 32"] | None = field(default=None, repr=False)
    sizes: Int[np.ndarray, "N 2"] | None = field(default=None, repr=False)
    found_by_name: dict[bytes, int] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        rows, names = sum(map(len, self.blocks)), self.file_names
        if rows != len(names):
            raise InputError(
                f"{self.source} has {rows:,} embeddings and {len(names):,} file names; give one name each."
            )
        if not rows:
            raise InputError(f"{self.source} holds no embedding; give a folder or file that does.")
        if "" in names:
            raise InputError(f"{self.source} gives row {names.index('')} no file name; give every row one.")
        if len(set(names)) < len(names):
            twice = Counter(names).most_common(1)[0][0]
            raise InputError(f"{self.source} names {cut(twice, _SHOWN)} more than once; give each image one embedding.")
        same_width(self.blocks)

    def __len__(self) -> int:
        return len(self.file_names)

    @property
    def dimensions(self) -> int:
        """D, the length of an embedding."""
        return self.blocks[0].rows.shape[1]

    @cached_property
    def starts(self) -> Int[np.ndarray, " B"]:
        """The row that each block begins with, and N after the last."""
        return np.cumsum([0, *map(len, self.blocks)])

    def rows(self, index: Int[np.ndarray, " M"]) -> Float[Tensor, "M D"]:
        """The embeddings of some images, of length 1.

        A vector whose length is within `EXACT` of 1 has the values of the file, bit for bit.
        """
        found = np.empty((len(index), self.dimensions), np.float32)
        owners = np.searchsorted(self.starts, index, side="right") - 1
        for owner in np.unique(owners):
            places = owners == owner
            own = index[places] - self.starts[owner]
            low = int(own.min())
            found[places] = self.blocks[owner].rows[slice(low, int(own.max()) + 1)][own - low]
        return torch.from_numpy(unit(found))

    @cached_property
    def content(self) -> UInt8[np.ndarray, "N 32"]:
        """Content hashes of the images, or where these are not known of the vectors.

        Raises:
            InputError: a vector is not finite or not of length 1; all of them are looked at.
        """
        own: list[bytes] = []
        for path, first, values in self._chunks():
            check(values, path, first)
            if self.digests is None:
                own += [hashlib.sha256(row.tobytes()).digest() for row in values]
        if self.digests is not None:
            return self.digests
        return np.frombuffer(b"".join(own), np.uint8).reshape(len(self), 32)

    @cached_property
    def revision(self) -> str:
        """Hash of names and vectors, 16 hexadecimal digits."""
        digest = hashlib.sha256("\n".join(self.file_names).encode("utf-8", "surrogatepass"))
        for _, _, values in self._chunks():
            digest.update(np.ascontiguousarray(values).tobytes())
        return digest.hexdigest()[:16]

    def _chunks(self) -> Iterator[tuple[str, int, np.ndarray]]:
        """All values, a range of rows at a time, with the file that holds them and the first row's number in it."""
        step = max(1, CHUNK // self.dimensions)
        for block in self.blocks:
            for start in range(0, len(block), step):
                yield str(block.path), start, np.asarray(block.rows[slice(start, min(start + step, len(block)))])


def unit(vectors: Float[np.ndarray, "N D"]) -> Float[np.ndarray, "N D"]:
    """Vectors at length 1; those within `EXACT` of it stay as they are."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.where(np.abs(lengths - 1) <= EXACT, vectors, vectors / np.maximum(lengths, 1e-12))


def check(vectors: np.ndarray, where: str, first: int = 0) -> None:
    """Check that vectors are finite and normalized.

    Args:
        vectors: N x D.
        where: the file they are in.
        first: the number of the first row in the file.

    Raises:
        InputError: one is not finite or not of length 1.
    """
    lengths = np.linalg.norm(vectors.astype(np.float32), axis=1)
    broken = ~np.isfinite(lengths)
    if broken.any():
        row = first + int(broken.argmax())
        raise InputError(f"row {row} of {where} holds values that are not finite; leave that image out.")
    far = np.abs(lengths - 1) > UNIT
    if far.any():
        row = int(far.argmax())
        raise InputError(
            f"row {first + row} of {where} has length {lengths[row]:.3g}, and embeddings have length 1; divide each "
            "row by its length, or leave an empty one out."
        )


__all__ = ["Embeddings", "Origin", "check", "unit"]
