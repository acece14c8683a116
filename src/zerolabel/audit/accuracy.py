"""Confidence interval of the accuracy on a pool from a stratified random sample of answers.

The interval inverts a test. For each number t of right predictions in the pool, the stratified estimate
``T = sum_h N_h k_h / n_h`` has a known distribution once it is known how the t are spread over the strata: a sum of
independent hypergeometric counts, whose tails are summed exactly. The spread is a nuisance. Maximizing over all spreads
(Wendell and Schmee. Exact inference for proportions from a stratified finite population. JASA 1996) forgets what the
strata showed: the worst spread is the even one, and the interval is as wide as without strata. Here the spread is the
likeliest one given t and the answers, drawn toward the even one by ``CAUTION`` answers a stratum, and a part of the
error, ``MARGIN``, is kept back. With one stratum there is no nuisance and the interval is exact; with several its
coverage rests on simulation, `benchmarks.audits`.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int

from zerolabel.audit import hypergeometric
from zerolabel.audit.strata import Counts
from zerolabel.errors import InputError

CAUTION = 1.0
"""Answers by which each stratum is drawn toward the common share."""
MARGIN = 0.1
"""Part of the error that is kept back with several strata, because the spread is estimated."""
GRID = 4000
"""Cells in which estimates are summed."""


@dataclass(frozen=True)
class Interval:
    """A share with its confidence interval.

    Attributes:
        low: lower end, in [0, 1].
        high: upper end, in [0, 1].
        estimate: the share itself.
        answers: number of answers it rests on.
        level: chance that such an interval holds the true share.
    """

    low: float
    high: float
    estimate: float
    answers: int
    level: float

    @property
    def width(self) -> float:
        """Upper less lower end."""
        return self.high - self.low


def checked_level(level: float) -> float:
    """The chance of missing the truth, 1 - level.

    Raises:
        InputError: the level is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise InputError(f"the level of an interval is a number between 0 and 1, such as 0.95, not {level}.")
    return 1 - level


def interval(counts: Counts, *, level: float = 0.95) -> Interval:
    """Exact interval for the share of right predictions, for a number of answers that was fixed before.

    With one stratum this is Clopper and Pearson's for a finite pool. Strata without an answer may hold any share. To
    look after every answer and stop when it suffices, use `zerolabel.audit.anytime.anytime`.

    Args:
        counts: answers by stratum.
        level: chance that such an interval holds the true share, at least.

    Raises:
        InputError: there is no answer, or no such level.
    """
    alpha, estimate, seen = checked_level(level), counts.estimate, counts.drawn > 0
    columns = (counts.sizes[seen], counts.drawn[seen], counts.correct[seen])
    low, high = _numbers(*(tuple(int(value) for value in column) for column in columns), alpha)
    total, unseen = int(counts.sizes.sum()), int(counts.sizes[~seen].sum())
    return Interval(low / total, (high + unseen) / total, estimate, int(counts.drawn.sum()), level)


@lru_cache(maxsize=65536)
def _numbers(sizes: tuple[int, ...], drawn: tuple[int, ...], correct: tuple[int, ...], alpha: float) -> tuple[int, int]:
    """Least and greatest number of right predictions in the strata."""
    if len(sizes) == 1:
        return hypergeometric.bounds(correct[0], drawn[0], sizes[0], alpha / 2)
    wrong = tuple(n - k for n, k in zip(drawn, correct, strict=True))
    return _least(sizes, drawn, correct, alpha), sum(sizes) - _least(sizes, drawn, wrong, alpha)


def _least(sizes: tuple[int, ...], drawn: tuple[int, ...], found: tuple[int, ...], alpha: float) -> int:
    """Smallest number of marked images under which an estimate as large as the one found is not excluded."""
    size, n, k = np.array(sizes), np.array(drawn), np.array(found)
    low, high = int(k.sum()), int(max(k.sum(), np.floor((size * k / n).sum())))
    while low < high:
        middle = (low + high) // 2
        if tail(likely_spread(middle, size, n, k), size, n, k) > (1 - MARGIN) * alpha / 2:
            high = middle
        else:
            low = middle + 1
    return low


def likely_spread(
    total: int, sizes: Int[np.ndarray, " H"], drawn: Int[np.ndarray, " H"], found: Int[np.ndarray, " H"]
) -> Int[np.ndarray, " H"]:
    """Marked images by stratum, ``total`` in all: the likeliest spread, drawn toward the same share in all strata.

    The shares p maximize ``sum_h (k_h + CAUTION pi) log p_h + (n_h - k_h + CAUTION (1 - pi)) log(1 - p_h)`` with
    ``sum_h N_h p_h = total`` and ``pi = total / N``; the root of a quadratic for each value of the multiplier.
    """
    share = total / sizes.sum()
    a, b = found + CAUTION * share, drawn - found + CAUTION * (1 - share)
    low, high = found, sizes - drawn + found
    bottom, top = -1.0, 1.0  # of x, where the multiplier is x / (1 - |x|)
    exact = low.astype(np.float64)
    for _ in range(30):
        x = (bottom + top) / 2
        slope = x / (1 - abs(x)) * sizes
        middle = a + b + slope
        exact = sizes * 2 * a / (middle + np.sqrt(np.maximum(middle**2 - 4 * slope * a, 0)))
        exact = np.minimum(np.maximum(exact, low), high)
        bottom, top = (x, top) if exact.sum() > total else (bottom, x)
    whole = np.floor(exact + 1e-9).astype(np.int64)
    for stratum in np.argsort(-(exact - whole), kind="stable"):
        if whole.sum() < total and whole[stratum] < high[stratum]:
            whole[stratum] += 1
    return whole


def tail(
    marked: Int[np.ndarray, " H"],
    sizes: Int[np.ndarray, " H"],
    drawn: Int[np.ndarray, " H"],
    found: Int[np.ndarray, " H"],
) -> float:
    """Chance of an estimate at least as large as the one found, if each stratum has so many marked images.

    Estimates are sums over a grid of 4000 cells, each rounded up, so that the chance is never understated.
    """
    width = sizes.sum() / GRID
    length = 1 << int(GRID + 2 * len(sizes)).bit_length()
    chances = np.zeros((len(sizes), length))
    for row, (one, size, n) in enumerate(zip(marked, sizes, drawn, strict=True)):
        places = np.ceil(size * np.arange(n + 1) / n / width - 1e-9).astype(np.int64)
        np.add.at(chances[row], places, hypergeometric.probabilities(one, size, n))
    product: Float[np.ndarray, " F"] = np.fft.rfft(chances, axis=1).prod(0)
    least = int(np.floor((sizes * found / drawn).sum() / width + 1e-9))
    return float(np.fft.irfft(product, length)[least:].sum())
