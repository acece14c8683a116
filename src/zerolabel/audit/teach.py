"""Which images are worth a label? A batch that covers the doubtful parts of the feature space.

Labels of doubtful images alone repeat each other: neighbors are doubtful together. A cover of the space alone spends
labels where the machine is right. The batch S here maximizes a weighted cover, greedily (facility location is
submodular, so that greedy is within 1 - 1/e of the best: Nemhauser, Wolsey, Fisher. Mathematical Programming 1978):

    sum_i d_i^2 max_{j in S} max(x_i . x_j, 0)^3

with d_i the doubt of image i: the mean of the rank of its uncertainty, which needs no calibration, and of the share of
other voters that disagree. Labeled images are in S from the start. Chosen for their doubt, these images are harder than
the pool: no accuracy may be measured on their answers.
"""

from heapq import heapify, heappop, heapreplace

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import rankdata

from zerolabel.errors import InputError

DOUBT, NEARNESS = 2.0, 3.0
"""Exponents of the doubt and of the similarity; larger ones look closer at the doubtful and at the neighborhood."""
REFERENCES, CANDIDATES = 2000, 10_000
"""Images on which the cover is measured, drawn at random from a larger pool, and the most doubtful ones to choose from,
at most: they bound the memory."""


def doubt(
    confidence: Float[np.ndarray, " N"], agreement: Float[np.ndarray, " N"] | None = None
) -> Float[np.ndarray, " N"]:
    """Doubt of each prediction, in (0, 1].

    Args:
        confidence: of the prediction; only its order counts, NaN is the least.
        agreement: share of other voters that agree with the prediction; None if there is none.
    """
    rank = rankdata(-np.nan_to_num(confidence, nan=-np.inf)) / len(confidence)
    return np.asarray(rank if agreement is None else (rank + 1 - agreement) / 2)


def batch(
    features: Float[np.ndarray, "N D"],
    doubts: Float[np.ndarray, " N"],
    n: int,
    *,
    labeled: Int[np.ndarray, " M"] | None = None,
    seed: int = 0,
) -> Int[np.ndarray, " n"]:
    """Images to label, the most useful first; a smaller batch is the beginning of a larger one.

    Args:
        features: of the images, from any encoder; rows are brought to unit length.
        doubts: from `doubt`.
        n: images to choose.
        labeled: images that have a label already.
        seed: of the choice of references in a large pool.

    Raises:
        InputError: fewer unlabeled images are left, or a feature is not finite.
    """
    size = len(features)
    known = np.empty(0, dtype=np.int64) if labeled is None else np.unique(labeled)
    if not 0 <= n <= size - len(known):
        raise InputError(f"{n} images cannot be chosen from {size - len(known)} without a label.")
    if not bool(np.isfinite(features).all()):
        raise InputError("the features of an image are not finite; encode the images again.")
    x = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    chosen_from = np.setdiff1d(np.arange(size), known)
    chosen_from = np.sort(chosen_from[np.argsort(-doubts[chosen_from], kind="stable")[: max(CANDIDATES, n)]])
    places = np.random.default_rng(seed).permutation(size)[:REFERENCES]
    covered = similarity(x[places], x[known]).max(1, initial=0) if len(known) else np.zeros(len(places))
    return np.asarray(chosen_from[_greedy(similarity(x[chosen_from], x[places]), doubts[places] ** DOUBT, covered, n)])


def similarity(first: Float[np.ndarray, "A D"], second: Float[np.ndarray, "B D"]) -> Float[np.ndarray, "A B"]:
    """Similarity of unit rows: the cosine to the power of `NEARNESS`, none below zero."""
    return np.asarray(np.maximum(first @ second.T, 0) ** NEARNESS)


def _greedy(
    near: Float[np.ndarray, "N R"], weights: Float[np.ndarray, " R"], covered: Float[np.ndarray, " R"], n: int
) -> Int[np.ndarray, " n"]:
    """Rows that raise the cover most, one after the other; gains only fall, so an old one is a bound (lazy greedy)."""

    def gain(row: int) -> float:
        return float(weights @ np.maximum(near[row] - covered, 0))

    queue = [(-gain(row), row) for row in range(len(near))]
    heapify(queue)
    chosen: list[int] = []
    while len(chosen) < n:
        row = queue[0][1]
        now = -gain(row)
        heapreplace(queue, (now, row))
        if queue[0][1] == row:
            heappop(queue)
            chosen.append(row)
            covered = np.maximum(covered, near[row])
    return np.array(chosen, dtype=np.int64)
