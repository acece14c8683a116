"""The hypergeometric distribution: marked images among those drawn without replacement from a finite pool."""

from functools import lru_cache

import numpy as np
from jaxtyping import Float
from scipy.special import gammaln

Count = int | np.integer


@lru_cache(maxsize=8)
def _log_factorials(n: int) -> Float[np.ndarray, " n_plus_1"]:
    return np.asarray(gammaln(np.arange(n + 1) + 1.0))


def probabilities(marked: Count, size: Count, drawn: Count) -> Float[np.ndarray, " drawn_plus_1"]:
    """Chance of 0, 1, ... ``drawn`` marked images among those drawn from ``size``, of which ``marked`` are marked."""
    table, others = _log_factorials(int(size)), size - marked
    least, most = max(0, drawn - others), min(drawn, marked)
    k = np.arange(least, most + 1)
    ways = table[marked] - table[k] - table[marked - k]
    ways += table[others] - table[drawn - k] - table[others - drawn + k]
    chances = np.zeros(drawn + 1)
    chances[least : most + 1] = np.exp(ways - table[size] + table[drawn] + table[size - drawn])
    return chances


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
    found, drawn, size = int(found), int(drawn), int(size)
    return _least(found, drawn, size, tail), size - _least(drawn - found, drawn, size, tail)


@lru_cache(maxsize=65536)
def _least(found: int, drawn: int, size: int, tail: float) -> int:
    """Smallest number of marked images at which ``found`` or more have a chance above ``tail``."""
    low, high = found, size - drawn + found
    while low < high:
        middle = (low + high) // 2
        if probabilities(middle, size, drawn)[found:].sum() > tail:
            high = middle
        else:
            low = middle + 1
    return low
