"""N images by index. There are no labels here, so none can leak."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from zerolabel.data.images.decoding import decode, sha256
from zerolabel.data.images.embedded import Embedded
from zerolabel.data.images.sources import find
from zerolabel.data.images.stores import Arrays, Files, Store
from zerolabel.data.images.urls import is_url, joined, on_disk
from zerolabel.errors import InputError

if TYPE_CHECKING:
    import torch

    import zerolabel.data.embeddings


@dataclass(frozen=True)
class ImageSet:
    """N images, in a stable order, read when they are asked for.

    It is a small value that can be pickled: names, and where the content lies.

    Attributes:
        root: the folder that names are relative to; text where it is a URL.
        file_names: N names with forward slashes; relative to ``root`` where they lie inside it.
        store: gives the content; files below ``root`` if left out.
        rows: place of each image in the store; in its order if left out.
    """

    root: Path | str
    file_names: tuple[str, ...]
    store: Store | None = None
    rows: Sequence[int] | None = field(default=None, repr=False)

    @classmethod
    def open(cls, source: str | os.PathLike[str]) -> "ImageSet":
        """Find images; see `zerolabel.data.images.sources.find` for what a source may be.

        Args:
            source: a folder; a list of files; a tar, a pattern or a folder of tars; a parquet file of images;
                ``hf:`` and a data set; each on this machine or at a URL. Or ``embeddings:`` and what
                `zerolabel.data.embeddings.open_embeddings` takes: images without pixels.

        Raises:
            InputError: there is no such source, or it names no image.
        """
        root, names, store = find(os.fspath(source))
        return cls(root if is_url(root) else Path(root), names, store)

    @classmethod
    def from_arrays(cls, pixels: np.ndarray, names: Sequence[str] | None = None) -> "ImageSet":
        """Images that are in memory, or in a mapped file.

        Args:
            pixels: uint8 of N x height x width (gray), or with 1, 3 (RGB) or 4 (RGB and opacity) channels last.
            names: of the N images; by default their numbers, of equal length.

        Raises:
            InputError: the array has another type or shape, or the names are not N different ones.
        """
        store, n = Arrays(pixels), len(pixels)
        chosen = tuple(f"{i:0{len(str(n - 1))}}" for i in range(n)) if names is None else tuple(names)
        if len(set(chosen)) != n or len(chosen) != n:
            raise InputError(f"{len(set(chosen))} different names were given for {n} images; give one each.")
        return cls("arrays", chosen, store)

    def __len__(self) -> int:
        return len(self.file_names)

    def path(self, index: int) -> Path:
        """Local path of an image.

        Raises:
            InputError: the image is not a file of its own, or lies elsewhere.
        """
        name = self.file_names[index]
        if isinstance(self.root, str) or is_url(name) or not isinstance(self._store, Files):
            raise InputError(f"the image {self.place(index)} is not a file of this machine; read it by its index.")
        return Path(on_disk(joined(self._store.base, name)))

    def place(self, index: int) -> str:
        """Name of an image in messages."""
        return joined(str(self.root), self.file_names[index])

    def read(self, index: int) -> Image.Image:
        """Decode one image; see `decode`.

        Raises:
            Unreadable: the file is missing, damaged, too large or no image.
        """
        return decode(self.read_bytes(index))

    def read_bytes(self, index: int) -> bytes:
        """The content of one file.

        Raises:
            Unreadable: the file is missing, refused or may not be read.
        """
        return self._store.read(self._row(index), self.file_names[index])

    def digest(self, index: int) -> str:
        """The content hash of one file, or of an image of which only an embedding is there.

        Raises:
            Unreadable: the file is missing, refused or may not be read.
            InputError: the embeddings cannot be compared.
        """
        if isinstance(self._store, Embedded):
            return self._store.digest(self._row(index))
        return sha256(self.read_bytes(index))

    def select(self, indices: "Iterable[int] | torch.Tensor") -> "ImageSet":
        """Some of the images, in the given order."""
        chosen = indices.tolist() if hasattr(indices, "tolist") else list(indices)
        names = tuple(self.file_names[i] for i in chosen)
        return ImageSet(self.root, names, self.store, tuple(self._row(i) for i in chosen))

    def named(self, names: Iterable[str]) -> "ImageSet":
        """The images of these names, in the given order.

        Raises:
            InputError: a name is not among the images.
        """
        places = {name: place for place, name in enumerate(self.file_names)}
        wanted = list(names)
        missing = [name for name in wanted if name not in places]
        if missing:
            raise InputError(
                f"{len(missing)} of {len(wanted)} images are not in {self.root}, first {missing[0]}; give the images "
                "that the names were taken from."
            )
        return self.select(places[name] for name in wanted)

    @property
    def embeddings(self) -> "zerolabel.data.embeddings.Embeddings | None":
        """Embeddings that are all that is there of the images; None where there are pixels."""
        return self._store.embeddings if isinstance(self._store, Embedded) else None

    def vectors(self, start: int, stop: int) -> "torch.Tensor":
        """Embeddings (M x D) of a range of images that have no pixels.

        Raises:
            InputError: these have pixels.
        """
        if self.embeddings is None:
            raise InputError(f"{self.root} has images, and embeddings are wanted; give embeddings:FOLDER.")
        return self.embeddings.rows(np.array([self._row(i) for i in range(start, stop)], np.int64))

    @property
    def _store(self) -> Store:
        return Files(str(self.root)) if self.store is None else self.store

    def _row(self, index: int) -> int:
        return range(len(self))[index] if self.rows is None else self.rows[index]
