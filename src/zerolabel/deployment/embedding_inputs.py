"""Embeddings as the input of a classifier: a matrix, or images that are embeddings."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from zerolabel.data.images import Images, as_image_set
from zerolabel.errors import InputError


def batches(images: Images, dimensions: int, batch_size: int) -> Iterator[Float[Tensor, "B D"]]:
    """Embeddings in batches.

    Args:
        images: an array or tensor of N x D, or what `zerolabel.data.images.as_image_set` takes and is embeddings.
        dimensions: D that is wanted.
        batch_size: rows at a time.

    Raises:
        InputError: it is none of these, or has other dimensions.
    """
    if isinstance(images, np.ndarray | Tensor):
        matrix = torch.as_tensor(images)
        if matrix.ndim != 2 or not matrix.is_floating_point():
            shape = " x ".join(map(str, matrix.shape)) or "no shape"
            raise InputError(
                f"this classifier reads embeddings, floats of N x {dimensions}, not {matrix.dtype} of {shape}."
            )
        check(matrix.shape[1], dimensions)
        yield from (rows.float() for rows in matrix.split(batch_size))
        return
    given = as_image_set(images)
    if given.embeddings is None:
        raise InputError(
            f"this classifier reads embeddings, and {given.root} has images; give embeddings:FOLDER, made by "
            "`zerolabel embed`, or an array of N x D."
        )
    check(given.embeddings.dimensions, dimensions)
    for start, stop in pairwise([*range(0, len(given), batch_size), len(given)]):
        yield given.vectors(start, stop)


def check(found: int, wanted: int) -> None:
    """Check the number of dimensions.

    Raises:
        InputError: they have others.
    """
    if found != wanted:
        raise InputError(
            f"these embeddings have {found} dimensions and the classifier reads {wanted}; give those of the model that "
            "it was trained on."
        )


__all__ = ["batches"]
