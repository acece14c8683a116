"""The step that Gaussian and von Mises-Fisher mixtures share: posteriors from evidence, text and similar images."""

import scipy.sparse as sparse
import torch
from jaxtyping import Float
from torch import Tensor

from zerolabel.blocks.label_propagation import linked, nearest
from zerolabel.blocks.targets import class_prior
from zerolabel.options import Prior


def like_images(features: Float[Tensor, "N D"], neighbors: int) -> sparse.csr_array:
    """W: the cosine with each of an image's nearest others, zero where it is negative; one row per image."""
    index, cosine = nearest(features, neighbors)
    return linked(index, cosine.clamp_min(0), len(features))


def smoothing(features: Float[Tensor, "N D"], neighbors: int) -> sparse.csr_array:
    """``(W + W^T) / (2 m)`` with the m nearest others, which may be fewer in a small set."""
    one_way = like_images(features, neighbors)
    return ((one_way + one_way.T) / (2 * neighbors)).tocsr().astype(one_way.dtype)


def assign(
    evidence: Float[Tensor, "N C"], graph: sparse.csr_array, z: Float[Tensor, "N C"], sweeps: int
) -> Float[Tensor, "N C"]:
    """``z <- softmax(evidence + graph z)``, all images at once, several times."""
    for _ in range(sweeps):
        z = torch.from_numpy(graph @ z.numpy()).add_(evidence).softmax(1)
    return z


def log_prior(z: Float[Tensor, "N C"], prior: Prior) -> Float[Tensor, " C"]:
    """Logarithm of the class shares that a mixture assumes, with ``"estimated"`` from the posteriors so far."""
    return class_prior(z, prior).log()
