"""From the content of an image file to pixels, or the reason why not."""

import hashlib
import importlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from io import BytesIO

from PIL import Image, ImageOps, UnidentifiedImageError

from zerolabel.data.images.depth import loaded
from zerolabel.errors.redaction import redacted

LONGEST_SIDE = 65_536
"""Pixels; resizing takes memory that grows with the longer side, whatever the shorter one."""
NO_MEMORY = "there is not enough memory for it"

# Pillow knows these only as containers that another program or plugin decodes.
_NOT_DECODED = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}
_PHONE = {
    "HEIF": ({".heic", ".heif", ".hif"}, "a HEIC image; `pip install zerolabel-vision[heif]` reads it"),
    "AVIF": ({".avif"}, "an AVIF image, which this build of Pillow lacks; `pip install -U pillow` (11.3 or newer)"),
}
"""Extensions of formats whose codec may be missing, and what to do then: their files are listed, not overlooked."""

_BRANDS = {b"avif": "AVIF", b"avis": "AVIF"} | dict.fromkeys(
    (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), "HEIF"
)


class Unreadable(Exception):
    """A file that cannot be used as an image; the message says why, in one line, without secrets of its URL."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(redacted(reason))


def decode(data: bytes) -> Image.Image:
    """Decode an image to upright 8-bit RGB.

    EXIF orientation is applied, transparency is laid on white, wide values become 8 bits by their content (see
    `zerolabel.data.images.depth`), the first frame of an animation is taken, and a side of more than `LONGEST_SIDE`
    pixels is reduced by a whole number, each pixel the mean of those it stands for.

    Args:
        data: the content of an image file.

    Raises:
        Unreadable: empty, truncated, damaged, of an unknown format, or with more pixels than
            ``PIL.Image.MAX_IMAGE_PIXELS`` (89,478,485 unless changed), which is refused before anything is decoded.
    """
    if not data:
        raise Unreadable("the file is empty")
    try:
        with Image.open(BytesIO(data), formats=formats()) as image:
            width, height = image.size
            if width * height > (Image.MAX_IMAGE_PIXELS or width * height):
                raise Image.DecompressionBombError
            return _shortened(_rgb(loaded(image, data, _upright)))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise Unreadable(f"more than {Image.MAX_IMAGE_PIXELS} pixels, refused as a decompression bomb") from None
    except UnidentifiedImageError:
        raise Unreadable(_unknown(data)) from None
    except MemoryError:
        raise Unreadable(NO_MEMORY) from None
    except Exception as error:  # decoders raise almost anything on damaged files
        raise Unreadable(one_line(error)) from None


def sides(data: bytes) -> tuple[int, int]:
    """Width and height that an image file states, before it is turned upright; its pixels are not decoded.

    Raises:
        Unreadable: it states none.
    """
    try:
        with Image.open(BytesIO(data), formats=formats()) as image:
            return image.size
    except Exception as error:  # decoders raise almost anything on damaged files
        raise Unreadable(one_line(error)) from None


@contextmanager
def enough_memory() -> Iterator[None]:
    """Context manager around the processing of one image: a failed allocation is reported as its fault.

    Raises:
        Unreadable: there was not enough memory.
    """
    try:
        yield
    except MemoryError:
        raise Unreadable(NO_MEMORY) from None
    except RuntimeError as error:  # torch has no kind of its own for the processor's memory
        if "memory" not in str(error) or "alloc" not in str(error):
            raise
        raise Unreadable(NO_MEMORY) from None


def is_image_content(data: bytes) -> bool:
    """True if Pillow knows the format of this content, damaged or not."""
    try:
        with Image.open(BytesIO(data), formats=formats()):
            return True
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return True
    except Exception:  # readers of formats raise almost anything
        return False


def sha256(data: bytes) -> str:
    """The content hash that identifies an image everywhere, as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


@cache
def formats() -> list[str]:
    """The formats that Pillow decodes by itself here, HEIF among them where pillow-heif is installed."""
    Image.init()
    with suppress(ImportError):
        importlib.import_module("pillow_heif").register_heif_opener()
    return [name for name in Image.OPEN if name not in _NOT_DECODED]


@cache
def extensions() -> frozenset[str]:
    """Lower-case extensions, with their dot, by which a file counts as an image."""
    readable = set(formats())
    known = {suffix for suffix, name in Image.registered_extensions().items() if name in readable}
    return frozenset(known.union(*(suffixes for suffixes, _ in _PHONE.values())))


def one_line(error: BaseException) -> str:
    """The message of an exception without line breaks; its type if it has none."""
    return " ".join(str(error).split()) or type(error).__name__


def _unknown(data: bytes) -> str:
    """Why Pillow knows no format for this content."""
    name = _BRANDS.get(data[8:12]) if data[4:8] == b"ftyp" else None
    if name is None:
        return "not an image that Pillow can read"
    return f"a damaged {name} image" if name in formats() else _PHONE[name][1]


def _shortened(image: Image.Image) -> Image.Image:
    factors = [-(-side // LONGEST_SIDE) for side in image.size]
    return image if max(factors) == 1 else image.reduce((factors[0], factors[1]))


def _upright(image: Image.Image) -> Image.Image:
    """Turned as EXIF says; as it is where the EXIF block is damaged but the pixels are not."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:
        return image


def _rgb(image: Image.Image) -> Image.Image:
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")
