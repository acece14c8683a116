"""Image features on disk, found again by the content of the image, so that no image is encoded twice."""

import hashlib
import os
import threading
import time
import warnings
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from jaxtyping import Float, Int
from platformdirs import user_cache_path
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from zerolabel.annotate.places import Places
from zerolabel.errors import InputError
from zerolabel.files import FULL, check_place, replacing
from zerolabel.files.leftovers import suffix, sweep

SHARD = 1024
"""Images per shard: what a killed run can lose."""

CHECKSUM = "checksum"
_ROWS = 1 << 24  # no shard has so many
_HELD = 4  # shards in memory
_SECONDS = 60.0  # a slow model writes sooner than once a shard


def default_folder(given: Path | None = None) -> Path:
    """Folder of cached features: the given one, ``$ZEROLABEL_CACHE``, or the user's cache folder.

    Raises:
        InputError: it is a URL.
    """
    folder = given or Path(os.environ.get("ZEROLABEL_CACHE") or user_cache_path("zerolabel")) / "features"
    check_place(folder, "--cache" if given else "$ZEROLABEL_CACHE")
    return folder


_STAND_INS: dict[Path, TemporaryDirectory[str]] = {}
"""Temporary folders of this process, by the cache that cannot be written."""


def _stand_in(folder: Path, reason: str) -> Path:
    """The temporary folder in place of one that cannot be written; a note tells of a new one."""
    if folder not in _STAND_INS:
        _STAND_INS[folder] = TemporaryDirectory()
        warnings.warn(
            f"the cache {folder} cannot be written ({reason}), so features are kept for this run alone; give a "
            "--cache that can be written.",
            stacklevel=4,
        )
    return Path(_STAND_INS[folder].name)


class FeatureCache:
    """Features and sizes of images by content hash, in immutable shards that appear whole or not at all.

    Several runs may share a folder. Every shard holds a checksum of its content, which is compared the first time that
    one of its features is asked for: a damaged shard is removed with a note, and counts as absent. So does a shard
    without a checksum. Features that are not finite are never kept. Where the folder cannot be written, a note says so,
    what it holds is read, and what is new is in a temporary folder of the process. Memory holds the hashes and a few
    shards.

    Args:
        folder: where the shards lie; None keeps them as long as this object lives.
        dimensions: D, the length of a feature.
        dtype: in which features are stored; they are given as float32.
    """

    def __init__(self, folder: Path | None, dimensions: int, dtype: torch.dtype = torch.float32) -> None:
        source = folder
        if folder is None:
            self._temporary = TemporaryDirectory()
            folder = Path(self._temporary.name)
        elif (reason := not_writable(folder)) is not None:
            folder = _stand_in(folder, reason)
        self.folder, self.dimensions, self.dtype = folder, dimensions, dtype
        self._lock = threading.RLock()
        self._sound: set[int] = set()  # shards whose checksum was compared
        self._place = Places()  # shard and row in one number
        self._shards: list[Path] = []
        self._open: OrderedDict[int, dict[str, Tensor]] = OrderedDict()
        self._pending: dict[bytes, tuple[tuple[int, int], Float[Tensor, " D"]]] = {}
        self._written = time.monotonic()
        sweep(self.folder)
        for place in dict.fromkeys((source or self.folder, self.folder)):
            with suppress(OSError):
                for path in sorted(place.glob("*.safetensors")):
                    self._take(path)

    def __contains__(self, sha256: str) -> bool:
        key = bytes.fromhex(sha256)
        with self._lock:
            if key in self._pending:
                return True
            while (place := self._place.get(key)) is not None:
                shard = place // _ROWS
                if shard in self._sound or self._load(shard) is not None:
                    return True
            return False

    def rows(self, sha256: Sequence[str]) -> tuple[Float[Tensor, "N D"], Int[Tensor, "N 2"]]:
        """Features, and widths and heights in pixels, of known contents.

        Raises:
            InputError: a shard was damaged since it was first read.
        """
        features, sizes = torch.empty(len(sha256), self.dimensions), torch.empty(len(sha256), 2, dtype=torch.long)
        for row, key in enumerate(map(bytes.fromhex, sha256)):
            if key in self._pending:
                size, features[row] = self._pending[key]
                sizes[row] = torch.tensor(size)
            else:
                held, place = self._held(key)
                features[row], sizes[row] = held["features"][place], held["sizes"][place]
        return features, sizes

    def add(self, rows: Iterable[tuple[str, tuple[int, int], Float[Tensor, " D"]]]) -> None:
        """Take hashes, sizes and features; they are on disk at the latest after the next `flush`.

        Features that are not finite are left out.

        Raises:
            InputError: the disk is full; what was written before stays.
        """
        finite = ((sha256, size, feature) for sha256, size, feature in rows if bool(feature.isfinite().all()))
        self._pending.update((bytes.fromhex(sha256), (size, feature)) for sha256, size, feature in finite)
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
            "features": torch.stack([feature for _, feature in rows]).to(self.dtype),
            "sizes": torch.tensor([size for size, _ in rows], dtype=torch.int32),
            "sha256": torch.tensor([list(key) for key in keys], dtype=torch.uint8),
        }
        path = self.folder / f"{hashlib.sha256(b''.join(keys)).hexdigest()[:24]}.safetensors"
        try:
            with replacing(path) as partial:
                try:
                    save_file(tensors, partial, {CHECKSUM: checksum(tensors)})
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
        except (OSError, SafetensorError, ValueError, RuntimeError):
            return
        if hashes.dtype != torch.uint8 or hashes.ndim != 2:
            return
        self._note(path, [digest.tobytes() for digest in hashes.numpy()])

    def _held(self, key: bytes) -> tuple[dict[str, Tensor], int]:
        """The shard that holds a known content, and the row in it."""
        with self._lock:
            number = self._place.get(key)
            if number is None:
                raise KeyError(key.hex())
            shard, place = divmod(number, _ROWS)
            held = self._load(shard)
        if held is None:
            raise InputError(f"image features in {self.folder} were damaged meanwhile; repeat the command.")
        return held, place

    def _note(self, path: Path, keys: Sequence[bytes]) -> None:
        first = len(self._shards) * _ROWS
        self._place.add((key, first + row) for row, key in enumerate(keys))
        self._shards.append(path)

    def _load(self, shard: int) -> dict[str, Tensor] | None:
        """The content of a shard; None where it is damaged, which removes it."""
        if shard not in self._open:
            found = read_shard(self._shards[shard], self.dimensions)
            if found is None:
                self._drop(shard)
                return None
            self._sound.add(shard)
            self._open[shard] = found
            if len(self._open) > _HELD:
                self._open.popitem(last=False)
        self._open.move_to_end(shard)
        return self._open[shard]

    def _drop(self, shard: int) -> None:
        """Forget a damaged shard; its images are encoded again."""
        path = self._shards[shard]
        count = self._place.drop(shard * _ROWS, (shard + 1) * _ROWS)
        self._sound.discard(shard)
        with suppress(OSError):
            path.unlink()
        warnings.warn(
            f"the cached features in {path} are damaged or have no checksum; {count} images are encoded again.",
            stacklevel=2,
        )


def checksum(tensors: Mapping[str, Tensor]) -> str:
    """Of names, types, shapes and values."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def read_shard(path: Path, dimensions: int) -> dict[str, Tensor] | None:
    """The tensors of a shard; None where it is damaged: its checksum differs, or a feature is not finite."""
    try:
        with safe_open(path, "pt") as file:
            stored = (file.metadata() or {}).get(CHECKSUM)
            tensors = {name: file.get_tensor(name) for name in ("features", "sizes", "sha256")}
    except (OSError, SafetensorError, ValueError, RuntimeError):
        return None
    features = tensors["features"]
    n = len(tensors["sha256"])
    if features.shape != (n, dimensions) or tensors["sizes"].shape != (n, 2) or stored != checksum(tensors):
        return None
    return tensors if bool(features.isfinite().all()) else None


def not_writable(folder: Path) -> str | None:
    """Why nothing can be written into a folder, which is made where it can be; None where it can be written.

    A full disk is found when features are written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        trial = folder / f".trial{suffix()}"
        trial.touch()
        trial.unlink()
    except OSError as error:
        return None if error.errno in FULL else (error.strerror or str(error)).lower()
    return None
