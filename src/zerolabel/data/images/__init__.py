"""N images by index, wherever they lie. There are no labels here, so none can leak."""

from zerolabel.data.images.decoding import Unreadable, decode, enough_memory, sha256, sides
from zerolabel.data.images.given import Images, as_image_set, as_list
from zerolabel.data.images.image_set import ImageSet
from zerolabel.data.images.pixel_cache import pixels, resize

__all__ = [
    "ImageSet",
    "Images",
    "Unreadable",
    "as_image_set",
    "as_list",
    "decode",
    "enough_memory",
    "pixels",
    "resize",
    "sha256",
    "sides",
]
