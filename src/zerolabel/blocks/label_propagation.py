"""Labels spread over a graph of neighbors: images that the vision-language model sees alike get labels alike.

Zhou, Bousquet, Lal, Weston, Scholkopf. Learning with Local and Global Consistency. NeurIPS 2003: with scores Y and a
symmetrically normalized affinity S, iterate F <- alpha S F + (1 - alpha) Y. The affinity of two neighbors is ours:
exp((cosine - 1) / temperature), where either is among the k nearest of the other.
"""

import warnings
from collections.abc import Sequence

import numpy as np
import scipy.sparse as sparse
import torch
from jaxtyping import Float, Int
from torch import Tensor

from zerolabel.blocks.targets import normalize

NEIGHBORS, ALPHA, TEMPERATURE, STEPS = 10, 0.9, 0.05, 20
CHUNK = 1024  # images compared with all others at once
EXACT = 200_000
"""Images up to which every image is compared with every other."""
PROBES = 32
"""Cells of a larger set in which an image's neighbors are searched, of 4 sqrt(N)."""


def nearest(features: Float[Tensor, "N D"], k: int) -> tuple[Int[Tensor, "N K"], Float[Tensor, "N K"]]:
    """The K = min(k, N - 1) most similar other images of each image, and their cosines.

    Memory beyond the result is `CHUNK` rows of N similarities. Of more than `EXACT` images they are approximate where
    faiss is installed; a warning says so where it is not.

    Args:
        features: of length 1.
        k: neighbors of each image.
    """
    n = len(features)
    k = min(k, n - 1)
    if n > EXACT:
        try:
            return _approximate(features, k)
        except ImportError:
            hours = "every image is compared with every other; pip install 'zerolabel-vision[neighbors]' is faster"
            warnings.warn(f"{n} images are more than {EXACT}, and faiss is not installed: {hours}.", stacklevel=2)
    index, cosine = torch.zeros(n, k, dtype=torch.long), features.new_zeros(n, k)
    for start in range(0, n, CHUNK):
        rows = slice(start, start + CHUNK)
        similarity = features[rows] @ features.T
        own = torch.arange(len(similarity))
        similarity[own, start + own] = -torch.inf
        cosine[rows], index[rows] = similarity.topk(k, dim=1)
    return index, cosine


def _approximate(features: Float[Tensor, "N D"], k: int) -> tuple[Int[Tensor, "N K"], Float[Tensor, "N K"]]:
    """Neighbors within the `PROBES` nearest of 4 sqrt(N) cells, by faiss; the same in each call.

    Where these hold too few images, the image itself takes the place of a neighbor, with cosine -1.

    Raises:
        ImportError: faiss is not installed.
    """
    import faiss

    n, rows = len(features), features.float().contiguous().numpy()
    index = faiss.index_factory(rows.shape[1], f"IVF{int(4 * n**0.5)},Flat", faiss.METRIC_INNER_PRODUCT)
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(torch.get_num_threads())
    index.train(rows)
    index.add(rows)
    faiss.extract_index_ivf(index).nprobe = PROBES
    places, cosine = torch.zeros(n, k, dtype=torch.long), features.new_zeros(n, k)
    for start in range(0, n, CHUNK):
        near, found = map(torch.from_numpy, reversed(index.search(rows[start : start + CHUNK], k + 1)))
        own = torch.arange(start, start + len(near))[:, None]
        last = (near == own) | (near < 0)
        last[:, k] |= ~(near == own).any(1)
        order = last.to(torch.uint8).sort(dim=1, stable=True).indices[:, :k]
        missing = last.gather(1, order)
        places[start : start + CHUNK] = torch.where(missing, own, near.gather(1, order))
        cosine[start : start + CHUNK] = torch.where(missing, -1.0, found.gather(1, order)).to(cosine.dtype)
    faiss.omp_set_num_threads(before)
    return places, cosine


def linked(index: Int[Tensor, "N K"], weights: Float[Tensor, "N K"], width: int) -> sparse.csr_array:
    """The weight of each row's K links, as a matrix of N rows and so many columns."""
    n, k = index.shape
    return sparse.csr_array((weights.numpy().ravel(), index.numpy().ravel(), np.arange(n + 1) * k), shape=(n, width))


def normalized(graph: sparse.csr_array) -> sparse.csr_array:
    """``D^-1/2 W D^-1/2`` of a symmetric W with row sums D."""
    scale = sparse.diags_array(1 / np.sqrt(np.maximum(graph.sum(axis=1), 1e-12)))
    return (scale @ graph @ scale).tocsr()


def affinity(index: Int[Tensor, "N K"], cosine: Float[Tensor, "N K"], temperature: float) -> sparse.csr_array:
    """``D^-1/2 W D^-1/2``, with W the symmetric affinity of the neighbors and D its row sums."""
    one_way = linked(index, torch.exp((cosine - 1) / temperature), len(index))
    return normalized((one_way + one_way.T) / 2)


def propagate_jointly(scores: Float[Tensor, "N C"], spaces: Sequence[Float[Tensor, "N _"]]) -> Float[Tensor, "N C"]:
    """Mean of the propagations over the graph of each of several encoders, see `propagate`."""
    return torch.stack([propagate(scores, features) for features in spaces]).mean(0)


def propagate(
    scores: Float[Tensor, "N C"],
    features: Float[Tensor, "N D"],
    *,
    neighbors: int = NEIGHBORS,
    alpha: float = ALPHA,
    temperature: float = TEMPERATURE,
    steps: int = STEPS,
) -> Float[Tensor, "N C"]:
    """Scores after they were spread over each image's neighbors; a row sums to 1.

    An image without a vote, a row of zeros, takes its scores from its neighbors; it stays zero where none of
    them has any.

    Args:
        scores: mean of the annotators' probabilities.
        features: of length 1.
        neighbors: of each image in the graph.
        alpha: share that comes from the neighbors in each step.
        temperature: of the affinity; a smaller one trusts near neighbors more.
        steps: of the iteration.
    """
    if len(scores) < 2:
        return normalize(scores)
    graph = affinity(*nearest(features, neighbors), temperature)
    given = scores.numpy().astype(np.float64)
    spread = given
    for _ in range(steps):
        spread = alpha * (graph @ spread) + (1 - alpha) * given
    return normalize(torch.from_numpy(spread).to(scores.dtype))
