"""N images by index, wherever they lie. There are no labels here, so none can leak."""

from zerolabel.images.decoding import Unreadable, decode, sha256
from zerolabel.images.sets import ImageSet
from zerolabel.images.squares import pixels, resize

__all__ = ["ImageSet", "Unreadable", "decode", "pixels", "resize", "sha256"]
