"""Labels spread over a graph of neighbors: images that the vision-language model sees alike get labels alike.

Zhou, Bousquet, Lal, Weston, Scholkopf. Learning with Local and Global Consistency. NeurIPS 2003: with scores Y and a
symmetrically normalized affinity S, iterate F <- alpha S F + (1 - alpha) Y. The affinity of two neighbors is ours:
exp((cosine - 1) / temperature), where either is among the k nearest of the other.
"""

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sparse
import torch
from jaxtyping import Float, Int
from torch import Tensor

from zerolabel.blocks.targets import normalize

NEIGHBORS, ALPHA, TEMPERATURE, STEPS = 10, 0.9, 0.05, 20
CHUNK = 1024  # images compared with all others at once


def nearest(features: Float[Tensor, "N D"], k: int) -> tuple[Int[Tensor, "N K"], Float[Tensor, "N K"]]:
    """The K = min(k, N - 1) most similar other images of each image, and their cosines.

    Memory beyond the result is `CHUNK` rows of N similarities.

    Args:
        features: of length 1.
        k: neighbors of each image.
    """
    n = len(features)
    k = min(k, n - 1)
    index, cosine = torch.zeros(n, k, dtype=torch.long), features.new_zeros(n, k)
    for start in range(0, n, CHUNK):
        rows = slice(start, start + CHUNK)
        similarity = features[rows] @ features.T
        own = torch.arange(len(similarity))
        similarity[own, start + own] = -torch.inf
        cosine[rows], index[rows] = similarity.topk(k, dim=1)
    return index, cosine


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
