"""A threshold below which an image belongs to no named class, with a measured error.

Images of classes that nobody named are rare and have low scores, so the pool is cut at fixed shares of the score's
order, finely at its lower end, and a person looks at as many images of each part. Every cut is a possible threshold.
Its error, the share of images of the pool that are called unknown though they are not or named though they are unknown,
has a stratified interval as any accuracy has; all cuts are measured at once, so each interval has a part of the error.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from zerolabel.audit.accuracy import Interval, checked_level, interval
from zerolabel.audit.strata import count, draw
from zerolabel.errors import InputError

CUTS = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5)
"""Shares of the images below the possible thresholds."""


@dataclass(frozen=True)
class Threshold:
    """The threshold of scores above which images belong to a named class.

    Attributes:
        score: images below are called unknown; minus infinity if none should be.
        error: share of all images on which that is wrong, with an interval that allows for the choice among cuts.
        unknown: estimated share of the pool that belongs to no named class.
    """

    score: float
    error: Interval
    unknown: float


def parts(scores: Float[np.ndarray, " N"]) -> Int[np.ndarray, " N"]:
    """Part of each image, 0 for the lowest scores; equal scores stay together.

    Raises:
        InputError: no score is given, or one is not finite.
    """
    if not len(scores) or not bool(np.isfinite(scores).all()):
        raise InputError("a threshold needs finite scores of at least one image.")
    limits = np.quantile(scores, CUTS, method="higher")
    return np.asarray(np.unique(np.searchsorted(limits, scores, side="right"), return_inverse=True)[1])


def draw_low(scores: Float[np.ndarray, " N"], n: int, *, seed: int = 0) -> Int[np.ndarray, " n"]:
    """Images to ask for, as many of each part, in an order every beginning of which is a sample.

    Raises:
        InputError: there are fewer images, or a score is not finite.
    """
    return draw(parts(scores), n, seed=seed, evenly=True)


def threshold(
    scores: Float[np.ndarray, " N"],
    drawn: Int[np.ndarray, " n"],
    unknown: Bool[np.ndarray, " n"],
    *,
    level: float = 0.95,
) -> Threshold:
    """Choose the cut with the fewest errors and measure it.

    Args:
        scores: of all images; large for named classes.
        drawn: images that were answered, from `draw_low`.
        unknown: whether each belongs to no named class.
        level: chance, at least, that the interval of the error holds.

    Raises:
        InputError: a score is not finite, there is no answer, or no such level.
    """
    strata = parts(scores)
    number = int(strata.max()) + 1
    each = 1 - checked_level(level) / number
    own = strata[drawn]
    errors = [count(strata, drawn, unknown == (own >= cut)) for cut in range(number)]
    chosen = int(np.argmin([one.estimate for one in errors]))
    lowest = np.min(scores[strata == chosen]) if chosen else -np.inf
    measured = interval(errors[chosen], level=each)
    error = Interval(measured.low, measured.high, measured.estimate, measured.answers, level)
    return Threshold(float(lowest), error, count(strata, drawn, unknown).estimate)
