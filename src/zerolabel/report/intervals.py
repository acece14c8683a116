"""Confidence intervals of proportions."""

import math

from scipy.stats import binomtest

from zerolabel.report.formats import Real


def wilson(correct: int, n: int, level: Real = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a binomial proportion (Wilson, JASA 1927).

    Args:
        correct: successes, 0 to n.
        n: trials, at least 1.
        level: coverage.

    Returns:
        lower and upper end, in [0, 1].
    """
    interval = binomtest(correct, n).proportion_ci(level, method="wilson")
    return float(interval.low), float(interval.high)


def separable(first: Real, second: Real, n: int) -> bool:
    """True if two proportions measured on n images differ by more than 1.96 standard errors.

    The images are taken as two independent samples, which is cautious: the same images were used twice.
    """
    error = math.sqrt((first * (1 - first) + second * (1 - second)) / n)
    return abs(first - second) > 1.96 * error
