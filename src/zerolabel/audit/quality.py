"""Labels of guaranteed quality: which images a person must label so that few wrong labels are left.

Candes, Ilyas, Zrnic. Probably Approximately Correct Labels. arXiv 2506.10908. Some images are drawn at random and
labeled by a person. A threshold on the uncertainty keeps the machine's labels below it and asks the person for all
others. For thresholds from the strictest on, the labels that would stay wrong in the whole set are bounded from the
drawn ones (hypergeometric, one-sided); the loosest threshold before the first whose bound exceeds the limit is taken.
Errors only grow with the threshold, so that all bounds together hold with the chance of one (fixed-sequence testing).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from zerolabel.audit import hypergeometric
from zerolabel.audit.accuracy import checked_level
from zerolabel.errors import InputError


@dataclass(frozen=True)
class Guarantee:
    """A labeling with few errors.

    Attributes:
        threshold: largest uncertainty at which the machine's label stays; minus infinity if none stays.
        by_hand: images that a person must label, or has labeled: those above the threshold and the drawn ones.
        to_ask: those of them without an answer.
        bound: share of wrong labels left in the whole set, at most.
        level: chance, at least, that the bound holds.
    """

    threshold: float
    by_hand: Bool[np.ndarray, " N"]
    to_ask: Int[np.ndarray, " M"]
    bound: float
    level: float


def _checked(max_error: float) -> None:
    if not 0 < max_error < 1:
        raise InputError(f"--max-error is a share between 0 and 1, such as 0.05 for 5%, not {max_error}.")


def needed(size: int, *, max_error: float, level: float = 0.95) -> int:
    """Least number of images to draw: with fewer, not even a draw without an error lets all machine labels stay.

    Raises:
        InputError: the error or the level is no share.
    """
    _checked(max_error)
    alpha, low, high = checked_level(level), 0, size
    allowed = int(max_error * size)
    while low < high:
        middle = (low + high) // 2
        if hypergeometric.bounds(0, middle, size, alpha)[1] <= allowed:
            high = middle
        else:
            low = middle + 1
    return low


def guarantee(
    uncertainty: Float[np.ndarray, " N"],
    drawn: Int[np.ndarray, " n"],
    correct: Bool[np.ndarray, " n"],
    *,
    max_error: float,
    level: float = 0.95,
) -> Guarantee:
    """Find the images whose machine labels may stay.

    Args:
        uncertainty: of each image's label, for example one less its confidence; only the order counts, NaN comes last.
        drawn: images that were drawn at random from all of them and labeled by a person.
        correct: whether the machine's label was right, for each.
        max_error: share of wrong labels allowed in the finished set.
        level: chance, at least, of not exceeding it.

    Raises:
        InputError: the error or the level is no share, or an image was drawn twice.
    """
    _checked(max_error)
    alpha, size = checked_level(level), len(uncertainty)
    if len(np.unique(drawn)) != len(drawn):
        raise InputError("an image was counted twice; give each drawn image once.")
    order = np.where(np.isnan(uncertainty), np.inf, uncertainty)
    values = np.unique(order)
    wrong = np.searchsorted(np.sort(order[drawn][~correct]), values, side="right")
    bounds = {found: hypergeometric.bounds(found, len(drawn), size, alpha)[1] - found for found in set(wrong.tolist())}
    left = np.minimum(
        [bounds[found] for found in wrong.tolist()], np.searchsorted(np.sort(order), values, side="right")
    )
    passed = left <= max_error * size
    kept = len(values) if bool(passed.all()) else int(passed.argmin())
    threshold = float(values[kept - 1]) if kept else float("-inf")
    by_hand = order > threshold
    by_hand[drawn] = True
    answered = np.zeros(size, dtype=bool)
    answered[drawn] = True
    bound = float(left[kept - 1]) / size if kept else 0.0
    return Guarantee(threshold, by_hand, np.flatnonzero(by_hand & ~answered), bound, level)
