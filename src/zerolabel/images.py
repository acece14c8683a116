"""N images by index, read from a folder or a list. There are no labels here, so none can leak."""

import csv
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from io import BytesIO
from itertools import islice
from pathlib import Path, PurePath

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from jaxtyping import Int, UInt8
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from torch.nn import functional

from zerolabel.errors import InputError

# Pillow knows these only as containers that another program or plugin decodes.
_NOT_DECODED = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}
_LISTS = (".txt", ".csv", ".tsv", ".parquet")
_BLOCK = 256


class Unreadable(Exception):
    """A file that cannot be used as an image; the message says why, in one line."""


@dataclass(frozen=True)
class ImageSet:
    """N image files, in a stable order.

    Attributes:
        root: the folder that names are relative to.
        file_names: N names with forward slashes; relative to ``root`` where they lie inside it.
    """

    root: Path
    file_names: tuple[str, ...]

    @classmethod
    def open(cls, source: str | os.PathLike[str]) -> "ImageSet":
        """Find the images of a folder, or of a list of files.

        Args:
            source: a folder, searched at every depth for the extensions that Pillow reads, hidden files left out,
                in sorted order; or a .txt, .csv, .tsv or .parquet list, whose column ``file_name`` (or first column)
                holds paths relative to the list's own folder, in the order of the list.

        Raises:
            InputError: there is no such folder or list, or it names no image.
        """
        path = Path(source)
        if path.is_dir():
            names = tuple(sorted(_walk(path)))
            if not names:
                raise InputError(
                    f"there is no image in the folder {path}; give a folder that holds some, at any depth."
                )
            return cls(path, names)
        if not path.is_file():
            raise InputError(f"there is no folder or list of images {path}; check the path.")
        if path.suffix.lower() not in _LISTS:
            raise InputError(
                f"{path} is neither a folder nor a list of images ({', '.join(_LISTS)}); give one of these."
            )
        return cls(path.parent, _listed(path))

    def __len__(self) -> int:
        return len(self.file_names)

    def path(self, index: int) -> Path:
        """Where an image lies."""
        return self.root / self.file_names[index]

    def read(self, index: int) -> Image.Image:
        """Decode one image; see `decode`.

        Raises:
            Unreadable: the file is missing, damaged, too large or no image.
        """
        return decode(self.read_bytes(index))

    def read_bytes(self, index: int) -> bytes:
        """The content of one file.

        Raises:
            Unreadable: the file is missing or may not be read.
        """
        try:
            return self.path(index).read_bytes()
        except OSError as error:
            raise Unreadable((error.strerror or str(error)).lower()) from None

    def select(self, indices: Iterable[int] | Int[Tensor, " M"]) -> "ImageSet":
        """Some of the images, in the given order."""
        rows = indices.tolist() if isinstance(indices, Tensor) else indices
        return replace(self, file_names=tuple(self.file_names[i] for i in rows))


def decode(data: bytes) -> Image.Image:
    """Decode an image to upright 8-bit RGB.

    EXIF orientation is applied, transparency is laid on white, 16-bit values are scaled to 8 bits, and the first
    frame of an animation is taken.

    Args:
        data: the content of an image file.

    Raises:
        Unreadable: empty, truncated, damaged, of an unknown format, or with more pixels than
            ``PIL.Image.MAX_IMAGE_PIXELS``, which is refused before anything is decoded.
    """
    if not data:
        raise Unreadable("the file is empty")
    try:
        with Image.open(BytesIO(data), formats=_formats()) as image:
            width, height = image.size
            if width * height > (Image.MAX_IMAGE_PIXELS or width * height):
                raise Image.DecompressionBombError
            image.load()
            return _rgb(ImageOps.exif_transpose(image))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise Unreadable(f"more than {Image.MAX_IMAGE_PIXELS} pixels, refused as a decompression bomb") from None
    except UnidentifiedImageError:
        raise Unreadable("not an image that Pillow can read") from None
    except Exception as error:  # decoders raise almost anything on damaged files
        reason = (str(error).splitlines() or [""])[0]
        raise Unreadable(reason or type(error).__name__) from None


def sha256(data: bytes) -> str:
    """The content hash that identifies an image everywhere, as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def resize(image: Image.Image, size: int) -> UInt8[np.ndarray, "3 size size"]:
    """Squash an RGB image to a square, with antialiased bilinear interpolation in float32, then round."""
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).unsqueeze(0).float()
    square = functional.interpolate(pixels, (size, size), mode="bilinear", align_corners=False, antialias=True)
    array: np.ndarray = square.round().clamp(0, 255).byte().squeeze(0).numpy()
    return array


def pixels(images: ImageSet, size: int, store: str | os.PathLike[str]) -> UInt8[np.ndarray, "N 3 size size"]:
    """All images as squares of one size, decoded once and kept in a file.

    The file is mapped, not read: memory stays bounded however many images there are. Beside it lies the content hash
    of each finished row, so that an interrupted call goes on where it stopped and an image that changed is done again.

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
        return index, digest, None if digest == known else resize(decode(data), size)
    except Unreadable as error:
        raise InputError(
            f"the image {images.path(index)} cannot be read ({error}); replace it or leave it out."
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


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        return _eight_bits(image).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scale integers of 16 bits or floats to 0..255; values that fit into 8 bits already stay as they are."""
    values = np.nan_to_num(np.asarray(image).astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    if image.mode == "F" and values.max() <= 1:
        values = values * 255
    elif image.mode.startswith("I;16") or values.max() > 255:
        values = values / 257
    return Image.fromarray(values.round().clip(0, 255).astype(np.uint8))


def _formats() -> list[str]:
    Image.init()
    return [name for name in Image.OPEN if name not in _NOT_DECODED]


def _walk(root: Path) -> Iterator[str]:
    readable = set(_formats())
    extensions = {suffix for suffix, name in Image.registered_extensions().items() if name in readable}
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if not name.startswith(".") and Path(name).suffix.lower() in extensions:
                yield (Path(folder) / name).relative_to(root).as_posix()


def _listed(path: Path) -> tuple[str, ...]:
    """The names in a list, each once, in the list's order."""
    try:
        column = _column(path)
    except (OSError, ValueError, IndexError, csv.Error, pa.ArrowException) as error:
        reason = (str(error).splitlines() or [""])[0]
        raise InputError(f"the list of images {path} cannot be read ({reason}); write one file name per row.") from None
    names = dict.fromkeys(_relative(name.strip(), path.parent) for name in column if name.strip())
    if not names:
        raise InputError(f"the list {path} names no image; write one file name per row.")
    if not any((path.parent / name).is_file() for name in names):
        first = next(iter(names))
        raise InputError(f"no file that {path} lists exists, such as {first}; write paths relative to {path.parent}.")
    return tuple(names)


def _column(path: Path) -> Sequence[str]:
    suffix = path.suffix.lower()
    if suffix == ".txt":
        return path.read_text(encoding="utf-8-sig").splitlines()
    if suffix == ".parquet":
        table = pq.ParquetFile(path).read()
        name = "file_name" if "file_name" in table.column_names else table.column_names[0]
        return [str(value or "") for value in table[name].to_pylist()]
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = [row for row in csv.reader(file, delimiter="\t" if suffix == ".tsv" else ",") if row]
    if not rows:
        return []
    place = rows[0].index("file_name") if "file_name" in rows[0] else 0
    headless = "file_name" not in rows[0] and (path.parent / rows[0][0].strip()).is_file()
    return [row[place] for row in rows[0 if headless else 1 :] if len(row) > place]


def _relative(name: str, root: Path) -> str:
    path = PurePath(name)
    if path.is_absolute() and path.is_relative_to(root.absolute()):
        path = path.relative_to(root.absolute())
    return path.as_posix()
