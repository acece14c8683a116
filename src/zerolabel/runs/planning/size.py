"""Which side the images of a pixel student have."""

from collections.abc import Sequence
from statistics import median

from zerolabel.data.images import ImageSet, Unreadable

SIZES = (24, 28, 32, 64, 96, 128, 224)
_SAMPLE = 64


def choose_size(images: ImageSet, among: Sequence[int] = SIZES) -> int:
    """The smallest of some sizes that is not below the median of the images' shorter sides, over a sample."""
    sides = []
    for i in range(0, len(images), max(1, len(images) // _SAMPLE)):
        try:
            sides.append(min(images.read(i).size))
        except Unreadable:
            continue
    wanted = median(sides) if sides else among[-1]
    return next((size for size in among if size >= wanted), among[-1])
