"""Image features on disk, found again by the content of the image, so that no image is encoded twice."""

import hashlib
import os
import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import torch
from jaxtyping import Float, Int
from platformdirs import user_cache_path
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from zerolabel.files import replacing

SHARD = 1024
"""Images per shard: what a killed run can lose."""

_ABANDONED = 3600.0  # seconds
_ROWS = 1 << 24  # no shard has so many
_HELD = 4  # shards in memory
_SECONDS = 60.0  # a slow model writes sooner than once a shard


def default_folder(given: Path | None = None) -> Path:
    """Where image features are kept: what was given, ``$ZEROLABEL_CACHE``, or the user's cache folder."""
    return given or Path(os.environ.get("ZEROLABEL_CACHE") or user_cache_path("zerolabel")) / "features"


class FeatureCache:
    """Features and sizes of images by content hash, in immutable shards that appear whole or not at all.

    Several runs may share a folder. A shard that is damaged counts as absent. Memory holds the hashes and a few shards.

    Args:
        folder: where the shards lie; None keeps them as long as this object lives.
        dimensions: D, the length of a feature.
    """

    def __init__(self, folder: Path | None, dimensions: int) -> None:
        self._temporary = TemporaryDirectory() if folder is None else None
        self.folder = Path(self._temporary.name) if self._temporary is not None else cast(Path, folder)
        self.dimensions = dimensions
        self._place: dict[bytes, int] = {}  # shard and row in one number
        self._shards: list[Path] = []
        self._open: OrderedDict[int, dict[str, Tensor]] = OrderedDict()
        self._pending: dict[bytes, tuple[tuple[int, int], Float[Tensor, " D"]]] = {}
        self._written = time.monotonic()
        _sweep(self.folder)
        for path in sorted(self.folder.glob("*.safetensors")):
            self._take(path)

    def __contains__(self, sha256: str) -> bool:
        key = bytes.fromhex(sha256)
        return key in self._place or key in self._pending

    def rows(self, sha256: Sequence[str]) -> tuple[Float[Tensor, "N D"], Int[Tensor, "N 2"]]:
        """Features, and widths and heights in pixels, of known contents."""
        features, sizes = torch.empty(len(sha256), self.dimensions), torch.empty(len(sha256), 2, dtype=torch.long)
        for row, key in enumerate(map(bytes.fromhex, sha256)):
            if key in self._pending:
                size, features[row] = self._pending[key]
                sizes[row] = torch.tensor(size)
            else:
                shard, place = divmod(self._place[key], _ROWS)
                held = self._load(shard)
                features[row], sizes[row] = held["features"][place], held["sizes"][place]
        return features, sizes

    def add(self, rows: Iterable[tuple[str, tuple[int, int], Float[Tensor, " D"]]]) -> None:
        """Take hashes, sizes and features; they are on disk at the latest after the next `flush`.

        Raises:
            InputError: the disk is full; what was written before stays.
        """
        self._pending.update((bytes.fromhex(sha256), (size, feature)) for sha256, size, feature in rows)
        while len(self._pending) >= SHARD or (self._pending and time.monotonic() - self._written > _SECONDS):
            self._write(SHARD)

    def flush(self) -> None:
        """Write what is not yet on disk."""
        while self._pending:
            self._write(SHARD)

    def _write(self, count: int) -> None:
        keys = list(islice(self._pending, count))
        rows = [self._pending[key] for key in keys]
        self._written = time.monotonic()
        tensors = {
            "features": torch.stack([feature for _, feature in rows]),
            "sizes": torch.tensor([size for size, _ in rows], dtype=torch.int32),
            "sha256": torch.tensor([list(key) for key in keys], dtype=torch.uint8),
        }
        path = self.folder / f"{hashlib.sha256(b''.join(keys)).hexdigest()[:24]}.safetensors"
        try:
            with replacing(path) as partial:
                try:
                    save_file(tensors, partial)
                except SafetensorError as error:
                    raise OSError(str(error)) from None
        finally:
            for key in keys:
                del self._pending[key]
        self._note(path, keys)

    def _take(self, path: Path) -> None:
        try:
            shard: Any = safe_open(path, "pt")
            hashes, features = shard.get_tensor("sha256"), shard.get_slice("features")
            if features.get_shape() != [len(hashes), self.dimensions]:
                return
        except (OSError, SafetensorError):
            return
        self._note(path, [digest.tobytes() for digest in hashes.numpy()])

    def _note(self, path: Path, keys: Sequence[bytes]) -> None:
        for row, key in enumerate(keys):
            self._place.setdefault(key, len(self._shards) * _ROWS + row)
        self._shards.append(path)

    def _load(self, shard: int) -> dict[str, Tensor]:
        if shard not in self._open:
            self._open[shard] = load_file(self._shards[shard])
            if len(self._open) > _HELD:
                self._open.popitem(last=False)
        self._open.move_to_end(shard)
        return self._open[shard]


def _sweep(folder: Path) -> None:
    """Remove what killed processes left half written; younger files may belong to a live one."""
    for path in folder.glob(".*.partial"):
        if time.time() - path.stat().st_mtime > _ABANDONED:
            path.unlink(missing_ok=True)
