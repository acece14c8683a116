"""Which images are worth a label? A batch that covers the doubtful parts of the feature space.

Labels of doubtful images alone repeat each other: neighbors are doubtful together, and a model that learns from hard
images alone is distorted. A cover of the space alone spends labels where the machine is right. The batch S here raises
two covers in turn, one image for either (facility location, greedily; it is submodular: Nemhauser, Wolsey, Fisher.
Mathematical Programming 1978):

    sum_i w_i max_{j in S} max(x_i . x_j, 0)^3,   w_i = 1 and w_i = d_i^2 by turns

with d_i the doubt of image i: the mean of the rank of its uncertainty, which needs no calibration, and of the share of
other voters that disagree. Labeled images are in S from the start. Chosen for their doubt, these images are harder than
the pool: no accuracy may be measured on their answers.
"""

from heapq import heapify, heappop, heappush

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import rankdata

from zerolabel.errors import InputError

DOUBT, NEARNESS = 2.0, 3.0
"""Exponents of the doubt and of the similarity; larger ones look closer at the doubtful and at the neighborhood."""
REFERENCES, CANDIDATES = 2000, 10_000
"""Images on which the covers are measured, drawn at random from a larger pool, and those to choose from, half of them
the most doubtful and half drawn at random, at most: they bound the memory."""


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
    random = np.random.default_rng(seed)
    places = random.permutation(size)[:REFERENCES]
    unlabeled = np.setdiff1d(np.arange(size), known)
    half = max(CANDIDATES, n) // 2
    doubtful = unlabeled[np.argsort(-doubts[unlabeled], kind="stable")]
    chosen_from = np.sort(
        np.concatenate([doubtful[:half], random.permutation(doubtful[half:])[: max(CANDIDATES, n) - half]])
    )
    covered = similarity(x[places], x[known]).max(1, initial=0) if len(known) else np.zeros(len(places))
    weights = np.stack([np.ones(len(places)), doubts[places] ** DOUBT])
    return np.asarray(chosen_from[_greedy(similarity(x[chosen_from], x[places]), weights, covered, n)])


def similarity(first: Float[np.ndarray, "A D"], second: Float[np.ndarray, "B D"]) -> Float[np.ndarray, "A B"]:
    """Similarity of unit rows: the cosine to the power of `NEARNESS`, none below zero."""
    return np.asarray(np.maximum(first @ second.T, 0) ** NEARNESS)


def _greedy(
    near: Float[np.ndarray, "N R"], weights: Float[np.ndarray, "W R"], covered: Float[np.ndarray, " R"], n: int
) -> Int[np.ndarray, " n"]:
    """Rows that raise the covers most, one for each of the weights by turns.

    Gains only fall, so that an old one is a bound and few are computed again (lazy greedy).
    """
    queues = [[(-float(one), row) for row, one in enumerate(np.maximum(near - covered, 0) @ own)] for own in weights]
    for queue in queues:
        heapify(queue)
    chosen: list[int] = []
    taken = np.zeros(len(near), dtype=bool)
    while len(chosen) < n:
        turn = len(chosen) % len(queues)
        queue, own = queues[turn], weights[turn]
        row = heappop(queue)[1]
        if taken[row]:
            continue
        now = -float(own @ np.maximum(near[row] - covered, 0))
        if queue and now > queue[0][0]:
            heappush(queue, (now, row))
            continue
        chosen.append(row)
        taken[row] = True
        covered = np.maximum(covered, near[row])
    return np.array(chosen, dtype=np.int64)
