"""Image features on disk, found again by the content of the image, so that no image is encoded twice."""

import hashlib
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from platformdirs import user_cache_path
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from zerolabel.annotations import writing

SHARD = 1024
"""Images per shard: what a killed run can lose."""

_ABANDONED = 3600.0  # seconds
_SECONDS = 60.0  # a slow model writes sooner than once a shard


def default_folder(given: Path | None = None) -> Path:
    """Where image features are kept: what was given, ``$ZEROLABEL_CACHE``, or the user's cache folder."""
    return given or Path(os.environ.get("ZEROLABEL_CACHE") or user_cache_path("zerolabel")) / "features"


class FeatureCache:
    """Features and sizes of images by content hash, in immutable shards that appear whole or not at all.

    Several runs may share a folder. A shard that is damaged counts as absent.

    Args:
        folder: where the shards lie; None keeps nothing.
        dimensions: D, the length of a feature.
    """

    def __init__(self, folder: Path | None, dimensions: int) -> None:
        self._folder = folder
        self._dimensions = dimensions
        self._place: dict[str, tuple[int, int]] = {}
        self._shards: list[Any] = []
        self._pending: list[tuple[str, tuple[int, int], Float[Tensor, " D"]]] = []
        self._written = time.monotonic()
        if folder is not None:
            _sweep(folder)
            for path in sorted(folder.glob("*.safetensors")):
                self._open(path)

    def __contains__(self, sha256: str) -> bool:
        return sha256 in self._place

    def __getitem__(self, sha256: str) -> tuple[Float[Tensor, " D"], tuple[int, int]]:
        """Feature, and width and height in pixels."""
        shard, row = self._place[sha256]
        width, height = self._shards[shard].get_slice("sizes")[row : row + 1][0].tolist()
        return self._shards[shard].get_slice("features")[row : row + 1][0], (width, height)

    def add(self, rows: Iterable[tuple[str, tuple[int, int], Float[Tensor, " D"]]]) -> None:
        """Take hashes, sizes and features; they are on disk at the latest after the next `flush`.

        Raises:
            InputError: the disk is full; what was written before stays.
        """
        if self._folder is None:
            return
        self._pending.extend(rows)
        while len(self._pending) >= SHARD or (self._pending and time.monotonic() - self._written > _SECONDS):
            self._write(SHARD)

    def flush(self) -> None:
        """Write what is not yet on disk."""
        while self._pending:
            self._write(SHARD)

    def _write(self, count: int) -> None:
        rows, self._pending = self._pending[:count], self._pending[count:]
        self._written = time.monotonic()
        assert self._folder is not None
        tensors = {
            "features": torch.stack([feature for _, _, feature in rows]),
            "sizes": torch.tensor([size for _, size, _ in rows], dtype=torch.int32),
            "sha256": torch.tensor([list(bytes.fromhex(sha256)) for sha256, _, _ in rows], dtype=torch.uint8),
        }
        name = hashlib.sha256("".join(sha256 for sha256, _, _ in rows).encode()).hexdigest()[:24]
        partial = self._folder / f".{name}.{os.getpid()}.partial"
        with writing(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            try:
                save_file(tensors, partial)
                partial.replace(self._folder / f"{name}.safetensors")
            except SafetensorError as error:
                raise OSError(str(error)) from None
            finally:
                partial.unlink(missing_ok=True)

    def _open(self, path: Path) -> None:
        try:
            shard: Any = safe_open(path, "pt")
            hashes, features = shard.get_tensor("sha256"), shard.get_slice("features")
            if features.get_shape() != [len(hashes), self._dimensions]:
                return
        except (OSError, SafetensorError):
            return
        for row, digest in enumerate(hashes.numpy()):
            self._place.setdefault(digest.tobytes().hex(), (len(self._shards), row))
        self._shards.append(shard)


def _sweep(folder: Path) -> None:
    """Remove what killed processes left half written; younger files may belong to a live one."""
    for path in folder.glob(".*.partial"):
        if time.time() - path.stat().st_mtime > _ABANDONED:
            path.unlink(missing_ok=True)
