"""Checks by content hash that images are those that were annotated."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import torch

from zerolabel.annotations.annotations import Annotations
from zerolabel.annotations.digest import content_hash
from zerolabel.data.images import ImageSet
from zerolabel.errors import InputError


def changed(annotations: Annotations, images: ImageSet) -> list[int]:
    """Places of the annotations whose image has another content now, or cannot be read.

    Args:
        annotations: of N images; one without a content hash is taken as it is.
        images: have the N names.
    """
    now = images.named(annotations.file_names)
    with ThreadPoolExecutor() as pool:
        hashes = pool.map(partial(content_hash, now), range(len(now)))
        pairs = zip(annotations.sha256, hashes, strict=True)
        return [i for i, (then, digest) in enumerate(pairs) if then and then != digest]


def unchanged(annotations: Annotations, images: ImageSet, path: str, *, allow_changed: bool) -> Annotations:
    """The annotations of the images that are what they were.

    Args:
        annotations: of N images.
        images: have the N names.
        path: of the annotations, for the message.
        allow_changed: leave out the images that changed, in place of refusing them.

    Raises:
        InputError: an image changed and that is not allowed, or all of them did.
    """
    other = changed(annotations, images)
    if not other:
        return annotations
    message = f"{len(other)} of {len(annotations)} images in {images.root} are not those that {path} was made of"
    message += f", first {annotations.file_names[other[0]]}"
    if not allow_changed:
        raise InputError(f"{message}; annotate them again, or give --allow-changed to continue without them.")
    if len(other) == len(annotations):
        raise InputError(f"{message}; none is left, annotate them again.")
    return annotations.select(torch.tensor(sorted(set(range(len(annotations))) - set(other))))


__all__ = ["changed", "unchanged"]
