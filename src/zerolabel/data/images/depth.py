"""From values wider than 8 bits to 8 bits, by what they hold: one rule, which the script of a classifier repeats.

A file says how wide its values are, not what white is: 16 bits often hold values of 8, 10 or 12, and floats hold 0 to 1
or 0 to 255. White is therefore taken from the largest value v of an image:

- integers: 1 where v <= 1, else the first of 2^8 - 1, 2^10 - 1, 2^12 - 1, 2^16 - 1, 2^24 - 1 and 2^32 - 1 that is not
  below v;
- floats: 1 where v <= 2 (a resized image overshoots a little), else the same; what lies above v <= 1 is cut;
- black is 0; where values lie below minus a tenth of v, or of 1 where v is less, floats of -1 to 1 (up to 2 in size)
  are taken as such, and others are stretched from their least to their largest value.

Values that are not finite count as 0, and an image that has no other is refused. A note tells where white was guessed:
where it is not that of the full width. TIFF files say where 0 is white, and where 32 bits have no sign; Pillow respects
neither for wide values, so it is done here.
"""

import warnings
from collections.abc import Callable, Iterator
from io import BytesIO

import numpy as np
from jaxtyping import Num, UInt8
from PIL import Image, ImageFile

WHITES = tuple(2**bits - 1 for bits in (8, 10, 12, 16, 24, 32))
_ROWS = 1 << 22
"""Values that are converted at a time: memory stays bounded."""
_SWAPPED = {";16B": ";16L", ";16L": ";16B", ";16N": ";16B" if np.little_endian else ";16L"}
"""Raw modes of which Pillow keeps one byte, and those that keep the other."""
_UNKNOWN = ("LA;16L",)
"""Raw modes that Pillow lacks."""
_COLORS = {"RGB": 3, "RGBA": 3, "CMYK": 4}
"""Modes of colors, and how many of their channels are no opacity."""


def eight_bits(values: Num[np.ndarray, "..."]) -> UInt8[np.ndarray, "..."]:
    """Integers or floats as 0 to 255.

    Args:
        values: of one image, of any shape.

    Raises:
        ValueError: none of the values is finite.
    """
    low, high = _range(values)
    black, white = scale(low, high, floats=values.dtype.kind == "f")
    done = np.empty(values.shape, np.uint8)
    for source, target in zip(_blocks(values), _blocks(done), strict=True):
        target[...] = ((_finite(source) - black) * (255 / (white - black))).round().clip(0, 255).astype(np.uint8)
    if black < 0 or WHITES[0] <= white < WHITES[3] or (values.dtype.kind != "f" and high == 1):
        _tell(black, white)
    return done


def scale(low: float, high: float, *, floats: bool) -> tuple[float, float]:
    """The values of black and white.

    Args:
        low: least value of an image.
        high: largest value.
        floats: whether the values are floats.
    """
    unit = high <= (2 if floats else 1)
    white = 1 if unit else next((white for white in WHITES if white >= high), high)
    if low >= -0.1 * max(high, 1):
        return 0.0, float(white)
    if floats and unit and low >= -2:
        return -1.0, 1.0
    return low, max(high, low + 1)


def loaded(image: ImageFile.ImageFile, data: bytes, upright: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """An opened image with its pixels as 8 bits, turned.

    Pillow keeps the higher byte of colors of 16 bits. Where that is nearly nothing everywhere, the lower byte is read
    as well, and both go through `eight_bits`.

    Args:
        image: a `PIL.ImageFile.ImageFile`, as it was opened.
        data: the content of the file.
        upright: turns an image as its EXIF says.

    Raises:
        ValueError: it is nearly nothing, and the lower byte cannot be read.
    """
    colors = image.mode in _COLORS and any(map(_is_wide, image.tile))
    tiles = [_low_bytes(tile) for tile in image.tile]
    swapped = [tile for tile in tiles if tile is not None]
    unsigned, inverted = _tiff_format(image)
    image.load()
    turned = upright(image)
    if turned.mode.startswith(("I", "F")):
        values = np.asarray(turned)
        done = eight_bits(values.view(np.uint32) if unsigned else values)
        return Image.fromarray(255 - done if inverted else done)
    if not colors:
        return turned
    high, n_colors = np.asarray(turned), _COLORS[turned.mode]
    if high[..., :n_colors].max() > WHITES[2] >> 8:
        return turned
    if len(swapped) < len(tiles):
        raise ValueError("its colors of 16 bits hold almost nothing; save them with 8 bits")
    with Image.open(BytesIO(data), formats=[str(image.format)]) as again:
        again.tile = swapped
        again.load()
        wide = high.astype(np.uint16) << 8 | np.asarray(upright(again))
    parts = (wide[..., :n_colors], wide[..., n_colors:])
    done = np.concatenate([eight_bits(part) for part in parts if part.size], axis=2)
    return Image.frombytes(turned.mode, turned.size, done.tobytes())


def _tiff_format(image: Image.Image) -> tuple[bool, bool]:
    """For TIFF: True if 32-bit integers are unsigned, and True if 0 is white."""
    tags = getattr(image, "tag_v2", {})
    return image.mode == "I" and tags.get(258) == (32,) and tags.get(339, (1,)) == (1,), tags.get(262) == 0


def _is_wide(tile: ImageFile._Tile) -> bool:
    """True for colors of 16 bits, of which Pillow keeps the high byte."""
    arguments = tile[3] if isinstance(tile[3], tuple) else (tile[3],)
    scaled = tile[0] == "ppm" and isinstance(arguments[-1], int) and arguments[-1] > WHITES[2]
    return tile[0] == "SGI16" or scaled or any(isinstance(one, str) and one[-4:] in _SWAPPED for one in arguments)


def _low_bytes(tile: ImageFile._Tile) -> ImageFile._Tile | None:
    """Decoder of the low byte of each value; None if there is none, or Pillow does not support it."""
    arguments = tile.args
    parts = [arguments] if isinstance(arguments, str) else list(arguments or ())
    for place, part in enumerate(parts):
        if isinstance(part, str) and part[-4:] in _SWAPPED:
            parts[place] = part[:-4] + _SWAPPED[part[-4:]]
            if parts[place] in _UNKNOWN:
                return None
            return tile._replace(args=parts[0] if isinstance(arguments, str) else tuple(parts))
    return None


def _range(values: np.ndarray) -> tuple[float, float]:
    if values.dtype.kind == "f" and not any(np.isfinite(part).any() for part in _blocks(values)):
        raise ValueError("none of its values is finite")
    lows, highs = zip(*((float(part.min()), float(part.max())) for part in map(_finite, _blocks(values))), strict=True)
    return min(lows), max(highs)


def _finite(values: np.ndarray) -> np.ndarray:
    return np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)


def _blocks(values: np.ndarray) -> Iterator[np.ndarray]:
    step = max(1, _ROWS // max(values[0].size, 1))
    return (values[start : start + step] for start in range(0, len(values), step))


def _tell(black: float, white: float) -> None:
    """Say once of each kind that white was guessed."""
    if black == 0:
        bits = int(white).bit_length()
        warnings.warn(f"images of wide values that end below {2**bits} are read as {bits}-bit values.", stacklevel=3)
    elif white != 1:
        warnings.warn("images with values below 0 are stretched from their least to their largest value.", stacklevel=3)
    else:
        warnings.warn("images of values from -1 to 1 are read as such: -1 is black.", stacklevel=3)
