"""Which side the images of a pixel student have."""

from collections.abc import Sequence
from statistics import median

from zerolabel.data.images import ImageSet, Unreadable, sides

SIZES = (24, 28, 32, 64, 96, 128, 224)
_SAMPLE = 64


def choose_size(images: ImageSet, among: Sequence[int] = SIZES) -> int:
    """The smallest of some sizes that is not below the median of the images' shorter sides, over a sample."""
    found = []
    for i in range(0, len(images), max(1, len(images) // _SAMPLE)):
        try:
            found.append(min(sides(images.read_bytes(i))))
        except Unreadable:
            continue
    wanted = median(found) if found else among[-1]
    return next((size for size in among if size >= wanted), among[-1])
