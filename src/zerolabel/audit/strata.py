"""A stratified random sample: images grouped by confidence and agreement, drawn in proportion from each group."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from zerolabel.errors import InputError

STRATA = 5
"""Groups into which the images are divided at most."""
LEAST_SHARE = 0.04
"""Share of the images that a group has at least; a smaller one would get no answer in a small sample."""


@dataclass(frozen=True)
class Counts:
    """Counts of a stratified sample, one entry per stratum.

    Attributes:
        sizes: images in the pool.
        drawn: images that were drawn at random and answered.
        correct: those of them on which the prediction is right.
    """

    sizes: Int[np.ndarray, " H"]
    drawn: Int[np.ndarray, " H"]
    correct: Int[np.ndarray, " H"]

    def __post_init__(self) -> None:
        """Raise an InputError where the numbers cannot be."""
        if not len(self.sizes) == len(self.drawn) == len(self.correct):
            raise InputError("sizes, drawn and correct must have one entry for each stratum.")
        if not bool((self.correct >= 0).all() and (self.correct <= self.drawn).all()):
            raise InputError("there cannot be more correct images than drawn ones, nor fewer than none.")
        if not bool((self.drawn <= self.sizes).all()):
            raise InputError("more images were drawn from a stratum than it has; each image counts once.")

    @property
    def estimate(self) -> float:
        """Share of correct images; a stratum without an answer counts as the mean of the others.

        Raises:
            InputError: no image was drawn.
        """
        seen = self.drawn > 0
        if not bool(seen.any()):
            raise InputError("an accuracy needs at least one answer.")
        sizes = self.sizes[seen]
        return float((sizes * self.correct[seen] / self.drawn[seen]).sum() / sizes.sum())


def stratify(
    confidence: Float[np.ndarray, " N"],
    agreement: Float[np.ndarray, " N"] | Bool[np.ndarray, " N"] | None = None,
    *,
    strata: int = STRATA,
) -> Int[np.ndarray, " N"]:
    """Group images by how likely their predictions are right, as far as that is known without labels.

    Images are split by whether all agree with the prediction, then each side into groups of like size by the rank of
    the confidence, so that a badly calibrated or saturated confidence does no harm: any grouping that is fixed before
    the answers gives a sound interval, a telling one gives a narrow interval.

    Args:
        confidence: of the prediction of each image; only its order counts, NaN comes first.
        agreement: share of other voters (annotators, or a second classifier) that agree with the prediction, or
            whether it agrees; None if there is no other voter.
        strata: groups at most.

    Returns:
        The stratum of each image, 0 to H - 1; the least certain images come first.

    Raises:
        InputError: no image is given, the arrays differ in length, or ``strata`` is below 1.
    """
    n = len(confidence)
    if not n:
        raise InputError("the sample needs at least one image to draw from.")
    if strata < 1:
        raise InputError(f"a sample has at least one stratum, not {strata}.")
    if agreement is not None and len(agreement) != n:
        raise InputError(f"there are {n} confidences but {len(agreement)} agreements; give one of each per image.")
    certain = np.zeros(n, dtype=bool) if agreement is None else np.asarray(agreement, dtype=float) >= 1.0
    ranked = np.where(np.isnan(confidence), -np.inf, confidence)
    groups = np.zeros(n, dtype=np.int64)
    free, first = strata, 0
    sides = [side for side in (~certain, certain) if side.any()]
    for place, side in enumerate(sides):
        left = len(sides) - place - 1
        own = min(max(round(free * side.sum() / (n if left else side.sum())), 1), max(free - left, 1))
        own = min(own, max(int(side.sum() / max(LEAST_SHARE * n, 1)), 1))
        order = np.lexsort((np.arange(n)[side], ranked[side]))
        within = np.empty(len(order), dtype=np.int64)
        within[order] = np.arange(len(order)) * own // len(order)
        groups[side] = first + within
        first, free = first + own, free - own
    return _merged(groups, LEAST_SHARE * n)


def _merged(groups: Int[np.ndarray, " N"], least: float) -> Int[np.ndarray, " N"]:
    """Join each group of fewer than ``least`` images to the one before it, the first to the next."""
    sizes = np.bincount(groups)
    renamed, current, filled = np.zeros(len(sizes), dtype=np.int64), 0, 0
    for group, size in enumerate(sizes):
        if filled >= least and size >= least:
            current, filled = current + 1, 0
        renamed[group] = current
        filled += size
    return np.asarray(renamed[groups])


def draw(
    strata: Int[np.ndarray, " N"],
    n: int,
    *,
    seed: int = 0,
    shuffled: Int[np.ndarray, " N"] | None = None,
    evenly: bool = False,
) -> Int[np.ndarray, " n"]:
    """Images to ask for, in the order in which to ask: every beginning of it is a stratified random sample.

    The next image comes from the stratum that is furthest behind its share, at random within it. The first images of a
    larger draw with the same seed are those of the smaller one, so a review can be continued.

    Args:
        strata: of all images of the pool.
        n: images to ask for.
        seed: of the order within the strata.
        shuffled: all images in an order that is random and knows no answer, to take those of a stratum in; None
            shuffles by the seed.
        evenly: as many of each stratum, as far as it has so many, instead of in proportion to its size.

    Raises:
        InputError: more images are asked for than there are.
    """
    if not 0 <= n <= len(strata):
        raise InputError(f"{n} images cannot be drawn from {len(strata)}.")
    sizes = np.bincount(strata)
    everything = np.random.default_rng(seed).permutation(len(strata)) if shuffled is None else shuffled
    waiting = [everything[strata[everything] == group] for group in range(len(sizes))]
    share = np.full(len(sizes), 1 / len(sizes)) if evenly else sizes / len(strata)
    taken = np.zeros(len(sizes), dtype=np.int64)
    chosen = np.empty(n, dtype=np.int64)
    for step in range(n):
        behind = np.where(taken < sizes, share * (step + 1) - taken, -np.inf)
        group = int(behind.argmax())
        chosen[step] = waiting[group][taken[group]]
        taken[group] += 1
    return chosen


def count(
    strata: Int[np.ndarray, " N"],
    drawn: Int[np.ndarray, " n"],
    correct: Bool[np.ndarray, " n"],
    *,
    of: Bool[np.ndarray, " N"] | None = None,
) -> Counts:
    """Count the answers by stratum.

    Args:
        strata: of all images of the pool.
        drawn: the images that were drawn and answered.
        correct: whether the prediction of each of them is right.
        of: the images that are asked about, for example those of one predicted class; None for all. Which images a
            mask holds may not depend on the answers.

    Raises:
        InputError: an image was drawn twice.
    """
    if len(np.unique(drawn)) != len(drawn):
        raise InputError("an image was counted twice; give each drawn image once.")
    mask = np.ones(len(strata), dtype=bool) if of is None else of
    number = int(strata.max()) + 1
    inside = mask[drawn]
    own = strata[drawn][inside]
    return Counts(
        np.bincount(strata[mask], minlength=number),
        np.bincount(own, minlength=number),
        np.bincount(own[correct[inside]], minlength=number),
    )
