"""Features that are not computed here: those of `zerolabel.data.embeddings`, found by content or by name."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped, UInt8
from torch import Tensor

from zerolabel.annotate.feature_cache import not_writable
from zerolabel.data.embeddings import Embeddings
from zerolabel.data.images import ImageSet, Unreadable


@runtime_checkable
class FeatureStore(Protocol):
    """Features by the content of images.

    Attributes:
        folder: for files that last as long as what is read from them.
        dimensions: D, the length of a feature.
    """

    folder: Path
    dimensions: int

    def rows(self, sha256: Sequence[str]) -> tuple[Float[Tensor, "N D"], Int[Tensor, "N 2"]]:
        """Features, and widths and heights in pixels, of known contents."""
        ...


class KnownFeatures:
    """Embeddings by the content of the images.

    Args:
        embeddings: of images.
        folder: for temporary files; None, or one that cannot be written, takes one that goes with this object.
    """

    def __init__(self, embeddings: Embeddings, folder: Path | None) -> None:
        fits = folder is not None and not_writable(folder) is None
        self._temporary = None if fits else TemporaryDirectory()
        self.folder = Path(self._temporary.name) if self._temporary is not None else Path(str(folder))
        self.embeddings, self.dimensions = embeddings, embeddings.dimensions

    def rows(self, sha256: Sequence[str]) -> tuple[Float[Tensor, "N D"], Int[Tensor, "N 2"]]:
        """Features, and widths and heights in pixels (0 where not known), of contents that were found before."""
        keys = np.frombuffer(bytes.fromhex("".join(sha256)), np.uint8).reshape(-1, 32)
        places = self._places(keys)
        for row in np.flatnonzero(places < 0):
            places[row] = self.embeddings.found_by_name[keys[row].tobytes()]
        sizes = self.embeddings.sizes
        known = torch.zeros(len(places), 2, dtype=torch.long) if sizes is None else torch.from_numpy(sizes[places])
        return self.embeddings.rows(places), known

    def find(self, sha256: str, name: str, *, by_name: bool) -> bool:
        """Look up an image by its content, and where that may be unknown by its name; False if it has no embedding."""
        key = bytes.fromhex(sha256)
        if self._places(np.frombuffer(key, np.uint8)[None])[0] >= 0:
            return True
        row = self._names.get(name) if by_name else None
        if row is not None:
            self.embeddings.found_by_name[key] = row
        return row is not None

    @cached_property
    def _names(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.embeddings.file_names)}

    @cached_property
    def _sorted(self) -> tuple[Int[np.ndarray, " N"], Shaped[np.ndarray, " N"]]:
        """Rows in the order of the first eight bytes of their hashes, and these bytes."""
        heads = _heads(self.embeddings.content)
        order = np.argsort(heads, kind="stable")
        return order, heads[order]

    def _places(self, keys: UInt8[np.ndarray, "M 32"]) -> Int[np.ndarray, " M"]:
        """The row of each content hash; -1 where it is none."""
        (order, heads), content, wanted = self._sorted, self.embeddings.content, _heads(keys)
        places = np.full(len(keys), -1)
        for row, (at, head) in enumerate(zip(np.searchsorted(heads, wanted).tolist(), wanted, strict=True)):
            while at < len(heads) and heads[at] == head:
                if (content[order[at]] == keys[row]).all():
                    places[row] = order[at]
                    break
                at += 1
        return places


def look_up(
    images: ImageSet, place: tuple[int, int], store: KnownFeatures
) -> Iterator[tuple[int, str | None, str | None]]:
    """The images of a range: place, content hash, or the reason why an image has no features."""
    known = store.embeddings.digests is not None and (
        images.embeddings is None or images.embeddings.digests is not None
    )
    for index in range(*place):
        try:
            digest = images.digest(index)
        except Unreadable as error:
            yield index, None, str(error)
            continue
        found = images.embeddings is store.embeddings or store.find(digest, images.file_names[index], by_name=not known)
        yield index, digest, None if found else f"{store.embeddings.source} has no embedding of it"


def _heads(keys: UInt8[np.ndarray, "M 32"]) -> Shaped[np.ndarray, " M"]:
    return np.ascontiguousarray(keys[:, :8]).view(np.uint64)[:, 0]


__all__ = ["FeatureStore", "KnownFeatures", "look_up"]
