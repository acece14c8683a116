"""Converts Python image containers to an image set, and an image set to files that a run reads."""

import csv
import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from io import BytesIO, StringIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from zerolabel.data.images.decoding import Unreadable, one_line
from zerolabel.data.images.depth import eight_bits
from zerolabel.data.images.image_set import ImageSet
from zerolabel.data.images.stores import Files
from zerolabel.data.images.urls import content, is_url
from zerolabel.errors import InputError
from zerolabel.errors.printable import cut
from zerolabel.files import write_text

Images = ImageSet | str | os.PathLike[str] | Image.Image | Iterable[object]
"""Types accepted by `as_image_set`."""
_SHOWN = 200
_AS_PNG, _AS_TIFF = ("1", "L", "LA", "P", "RGBA"), ("CMYK", "F")
_LIST = "images.csv"


@dataclass(frozen=True, eq=False)
class InMemory:
    """Pictures, pixels, contents and paths that a caller holds.

    Attributes:
        items: each a PIL image, an array, the bytes of a file, or a path or URL.
    """

    items: Sequence[object] = field(repr=False)

    def read(self, row: int, name: str) -> bytes:
        """Read an image; see `zerolabel.data.images.stores.Store.read`."""
        item = self.items[row]
        if isinstance(item, bytes):
            return item
        if isinstance(item, str | os.PathLike):
            return content(os.fspath(item))
        try:
            return _of_picture(item) if isinstance(item, Image.Image) else _of_pixels(np.asarray(item))
        except MemoryError:
            raise
        except Exception as error:  # a picture whose file is closed or damaged raises almost anything
            raise Unreadable(one_line(error)) from None


def as_image_set(images: Images) -> ImageSet:
    """The images that something stands for, in its order.

    Args:
        images: an image set; a folder, a list or another source that `ImageSet.open` takes; one image, as the path of
            its file, as a PIL image or as an array; or several: a list, tuple, array or column of a DataFrame that
            holds paths, PIL images, arrays or the bytes of files. An array is height x width, or with 1, 3 or 4
            channels last, of bytes, or of wider values or floats, which are read as those in files are; an array of N
            images has N in front.

    Raises:
        InputError: it is none of these, an entry holds nothing, or no file of that name exists.
    """
    if isinstance(images, ImageSet):
        return images
    if isinstance(images, str | os.PathLike):
        return ImageSet.open(images)
    items = _items(images)
    paths = [os.fspath(item) for item in items if isinstance(item, str | os.PathLike)]
    if items and len(paths) == len(items):
        return _of_paths(paths)
    for place, item in enumerate(items):
        _check(item, place)
    width = len(str(max(len(items) - 1, 0)))
    return ImageSet("given", tuple(f"{place:0{width}}" for place in range(len(items))), InMemory(items))


def as_list(images: ImageSet, folder: Path) -> Path:
    """Write a list of images that a run can read: of their files, and of copies of those that are not files.

    Args:
        images: from anywhere.
        folder: where the copies and the list are written, in a folder that is named by their contents.

    Returns:
        The path of the list.
    """
    names, copies = [], dict[int, bytes]()
    for index in range(len(images)):
        place = images.place(index)
        if type(images.store) in (Files, type(None)):
            names.append(place if is_url(place) else str(images.path(index).absolute()))
            continue
        try:
            copies[index] = images.read_bytes(index)
        except Unreadable:
            copies[index] = b""
        names.append(f"{index:06}.{hashlib.sha256(copies[index]).hexdigest()[:16]}")
    text = StringIO()
    csv.writer(text).writerows([("file_name",), *((name,) for name in names)])
    own = folder / hashlib.sha256(text.getvalue().encode()).hexdigest()[:16]
    if not (own / _LIST).is_file():
        own.mkdir(parents=True, exist_ok=True)
        for index, data in copies.items():
            (own / names[index]).write_bytes(data)
        write_text(own / _LIST, text.getvalue())
    return own / _LIST


def _items(images: object) -> list[object]:
    """Each image by itself."""
    if isinstance(images, Image.Image):
        return [images]
    if hasattr(images, "columns") and hasattr(images, "iloc"):
        if len(images.columns) != 1:
            named = cut(", ".join(map(str, images.columns)), _SHOWN)
            raise InputError(f"a table with the columns {named} is no list of images; give the one column that is.")
        return list(images.iloc[:, 0])
    if isinstance(images, np.ndarray) or type(images).__module__ == "torch":
        return _of_array(np.asarray(images))
    if not isinstance(images, Iterable) or isinstance(images, bytes | dict):
        raise InputError(f"images of type {type(images).__name__} are not known; {_REMEDY}.")
    return list(images)


_REMEDY = "give a folder, paths, PIL images, or arrays of height x width x 3"


def _of_array(array: np.ndarray) -> list[object]:
    """One image of height x width x channels, or N of them, or N entries of another kind."""
    if array.dtype.kind in "OUST":
        return list(array.ravel()) if array.ndim < 2 or array.shape[1:] == (1,) else list(array)
    if array.ndim == 3 and array.shape[2] in (1, 3, 4):
        return [array]
    if array.ndim < 3:
        raise InputError(
            f"an array of {' x '.join(map(str, array.shape))} values is not an image; "
            "reshape it to N x height x width, or give one gray image as a list of one."
        )
    return list(array)


def _of_paths(paths: list[str]) -> ImageSet:
    local = [path for path in paths if not is_url(path)]
    folder = next((path for path in local if Path(path).is_dir()), None)
    if folder is not None:
        raise InputError(f"{cut(folder, _SHOWN)} is a folder among files; give a folder by itself, or files alone.")
    if local == paths and not any(map(os.path.isfile, paths)):
        raise InputError(f"none of {len(paths)} files exists, such as {cut(paths[0], _SHOWN)}; check the paths.")
    return ImageSet(Path(), tuple(paths))


def _check(item: object, place: int) -> None:
    """Check that an entry can be an image.

    Raises:
        InputError: it cannot.
    """
    if isinstance(item, Image.Image | bytes | str | os.PathLike):
        return
    array = np.asarray(item) if isinstance(item, np.ndarray | list) or type(item).__module__ == "torch" else None
    if array is None:
        what = "is empty" if item is None or item != item else f"is of type {type(item).__name__}"
        raise InputError(f"image {place} {what}; {_REMEDY}.")
    known = array.ndim in (2, 3) and array.shape[2:] in ((), (1,), (3,), (4,)) and array.size
    if not known or array.dtype.kind not in "buif":
        shape = " x ".join(map(str, array.shape)) or "no shape"
        raise InputError(
            f"image {place} is an array of {array.dtype} of {shape}; give height x width, with 1, 3 or 4 channels last."
        )


def _of_pixels(array: np.ndarray) -> bytes:
    """A PPM file, or a PNG where there is opacity: the same pixels give the same content."""
    if array.dtype == np.bool_:
        array = array.astype(np.uint8) * 255
    pixels = np.ascontiguousarray(array if array.dtype == np.uint8 else eight_bits(array))
    pixels = pixels[..., 0] if pixels.shape[2:] == (1,) else pixels
    return _file(Image.fromarray(pixels), "PNG" if pixels.shape[2:] == (4,) else "PPM")


def _of_picture(picture: Image.Image) -> bytes:
    """An upright picture as a lossless file, so that every mode is read as it is from disk."""
    upright = ImageOps.exif_transpose(picture)
    if upright.mode in _AS_TIFF or upright.mode.startswith("I"):
        return _file(upright, "TIFF")
    if upright.mode in _AS_PNG or upright.has_transparency_data:
        return _file(upright if upright.mode in (*_AS_PNG, "RGB") else upright.convert("RGBA"), "PNG")
    return _file(upright if upright.mode == "RGB" else upright.convert("RGB"), "PPM")


def _file(picture: Image.Image, form: str) -> bytes:
    stream = BytesIO()
    picture.save(stream, form)
    return stream.getvalue()


__all__ = ["Images", "as_image_set", "as_list"]
