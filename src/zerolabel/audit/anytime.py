"""An interval that holds after every answer, so that one may look all the time and stop at will.

The answers are evaluated when there are 10, 15, 23, ... of them, half as many again each time, up to the whole pool.
Each of these intervals may miss the true share with an equal part of the error (union bound), and the interval that is
shown is the intersection of those so far; it changes only there, so that it holds at every look in between.
"""

import numpy as np
from jaxtyping import Bool, Int

from zerolabel.audit.accuracy import Interval, checked_level, interval
from zerolabel.audit.strata import count

FIRST = 10
"""Answers at the first evaluation."""
GROWTH = 1.5


def evaluations(n: int) -> list[int]:
    """Numbers of answers at which a pool of n images is evaluated; the last is n."""
    steps = [FIRST]
    while steps[-1] < n:
        steps.append(int(np.ceil(steps[-1] * GROWTH)))
    return [*steps[:-1], n]


def anytime(
    strata: Int[np.ndarray, " N"],
    drawn: Int[np.ndarray, " n"],
    correct: Bool[np.ndarray, " n"],
    *,
    of: Bool[np.ndarray, " N"] | None = None,
    level: float = 0.95,
) -> Interval:
    """Interval for the share of right predictions that holds at every look together.

    Args:
        strata: of all images of the pool.
        drawn: the images that were answered, in the order of `draw`.
        correct: whether the prediction of each of them is right.
        of: the images that are asked about, as in `count`.
        level: chance, at least, that the interval holds the true share after each of any number of answers.

    Returns:
        The interval; from 0 to 1 before the tenth answer.

    Raises:
        InputError: there is no answer, or no such level.
    """
    alpha = checked_level(level)
    planned = evaluations(len(strata))
    now = count(strata, drawn, correct, of=of)
    low, high, estimate = 0.0, 1.0, now.estimate
    for n in planned:
        if n > len(drawn):
            break
        counts = count(strata, drawn[:n], correct[:n], of=of)
        if counts.drawn.sum():
            one = interval(counts, level=1 - alpha / len(planned))
            low, high = max(low, one.low), min(high, one.high)
    return Interval(low, max(low, high), estimate, int(now.drawn.sum()), level)
