"""An image as the page shows it: decoded here and encoded again, so that nothing but pixels leaves the folder."""

import io

from PIL import Image

from zerolabel.data.images import ImageSet

LARGE, SMALL = 1600, 240
"""Longest side in pixels, alone and in the grid."""
_PIXELS_COUNT_BELOW = 128


def picture(images: ImageSet, place: int, side: int = LARGE) -> tuple[bytes, str]:
    """An image and its media type: PNG where every pixel counts, JPEG otherwise.

    Args:
        images: the set; nothing outside it can be read.
        place: of the image.
        side: longest side in pixels; smaller images stay as they are.

    Raises:
        Unreadable: the file is missing, damaged or no image.
    """
    image: Image.Image = images.read(place)
    buffer = io.BytesIO()
    if max(image.size) < _PIXELS_COUNT_BELOW:
        image.save(buffer, "PNG")
        return buffer.getvalue(), "image/png"
    image.thumbnail((side, side))
    image.save(buffer, "JPEG", quality=88)
    return buffer.getvalue(), "image/jpeg"
