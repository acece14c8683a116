"""The hypergeometric distribution: marked images among those drawn without replacement from a finite pool."""

import numpy as np
from jaxtyping import Float, Int
from scipy.special import gammaln

Count = int | np.integer


def log_choose(n: Int[np.ndarray, "..."] | Count, k: Int[np.ndarray, "..."] | Count) -> Float[np.ndarray, "..."]:
    """Logarithm of the binomial coefficient; minus infinity where ``k`` is below 0 or above ``n``."""
    n, k = np.broadcast_arrays(np.asarray(n), np.asarray(k))
    inside = (k >= 0) & (k <= n)
    low = np.where(inside, k, 0)
    high = np.where(inside, n, 0)
    value = gammaln(high + 1) - gammaln(low + 1) - gammaln(high - low + 1)
    return np.asarray(np.where(inside, value, -np.inf))


def log_likelihood(
    marked: Int[np.ndarray, "..."] | Count, size: Count, drawn: Count, found: Int[np.ndarray, "..."] | Count
) -> Float[np.ndarray, "..."]:
    """Logarithm of the chance that a draw finds so many of the marked images of a pool of that size."""
    inside = log_choose(marked, found) + log_choose(size - np.asarray(marked), drawn - np.asarray(found))
    return np.asarray(inside - log_choose(size, drawn))


def probabilities(marked: Count, size: Count, drawn: Count) -> Float[np.ndarray, " drawn_plus_1"]:
    """Chance of 0, 1, ... ``drawn`` marked images."""
    return np.asarray(np.exp(log_likelihood(marked, size, drawn, np.arange(drawn + 1))))


def bounds(found: Count, drawn: Count, size: Count, tail: float) -> tuple[int, int]:
    """Least and greatest number of marked images in the pool that the draw does not exclude.

    Clopper and Pearson's interval for a finite pool: a number is excluded if so many marked images, or more, have at
    most the chance ``tail`` under it; likewise for so many or fewer.

    Args:
        found: marked images among those drawn.
        drawn: images drawn, 0 to ``size``.
        size: images of the pool.
        tail: chance of missing the true number on one side; the two-sided level is ``1 - 2 tail``.
    """
    return _least(found, drawn, size, tail), size - _least(drawn - found, drawn, size, tail)


def _least(found: Count, drawn: Count, size: Count, tail: float) -> int:
    """Smallest number of marked images at which ``found`` or more have a chance above ``tail``."""
    low, high = int(found), int(size - drawn + found)
    while low < high:
        middle = (low + high) // 2
        if probabilities(middle, size, drawn)[found:].sum() > tail:
            high = middle
        else:
            low = middle + 1
    return low
