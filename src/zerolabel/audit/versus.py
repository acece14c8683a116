"""Is A better than B? Ask only where their predictions differ, and stop when it is decided.

Elsewhere both are right or both are wrong, so that an answer there says nothing about which is better (McNemar.
Psychometrika 1947). Of the M images on which they differ, A is right for a, B for b, neither for the rest. The answers
come in random order; those on which one is right are draws without replacement from a and b. Against "A is not better"
one bets on A: the wealth is the chance of the answers under a mixture of shares above one half, divided by their chance
under the most favorable a <= b. It reaches 1 / alpha with chance alpha at most, whenever one looks (Ville), and when
few images are left it grows faster than a test that forgets how many there are. Both sides are tested at alpha / 2.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import gammaln, logsumexp

from zerolabel.audit.accuracy import checked_level
from zerolabel.errors import InputError

SHARES = np.array([0.55, 0.6, 0.67, 0.75, 0.85, 0.95])
"""Shares of the decisive answers on which is bet, in equal parts."""

Winner = Literal["first", "second", "neither"]


@dataclass(frozen=True)
class Verdict:
    """Result of comparing two classifiers.

    Attributes:
        better: "first" or "second" once that is decided; "neither" if all differing images were asked and the two are
            right equally often; None as long as it is open.
        answers: number of answers up to the decision, or all so far.
        first: answers on which the first is right.
        second: answers on which the second is right.
        differing: images on which the two differ.
        level: chance, at least, that a decision is right.
    """

    better: Winner | None
    answers: int
    first: int
    second: int
    differing: int
    level: float

    @property
    def difference(self) -> float:
        """Estimated number of images on which the first is right and the second wrong, less the reverse."""
        return (self.first - self.second) / max(self.answers, 1) * self.differing


def draw_differing(
    first: Int[np.ndarray, " N"], second: Int[np.ndarray, " N"], *, seed: int = 0
) -> Int[np.ndarray, " M"]:
    """All images on which two predictions differ, in the random order in which to ask for them."""
    return np.asarray(np.random.default_rng(seed).permutation(np.flatnonzero(first != second)))


def verdict(answers: Sequence[str], differing: int, *, level: float = 0.95) -> Verdict:
    """Say which of two classifiers is better, as soon as the answers decide it.

    Args:
        answers: which is correct for each image, "first" or "second", in the order of `draw_differing`; "neither" if
            both are wrong or the person cannot tell.
        differing: images on which the two differ.
        level: chance, at least, that a decision is right, however often one looks.

    Raises:
        InputError: there are more answers than differing images, an answer is none of the three, or no such level.
    """
    limit = np.log(2 / checked_level(level))
    if len(answers) > differing:
        raise InputError(f"there are {len(answers)} answers on {differing} differing images; answer each once.")
    wrong = set(answers) - {"first", "second", "neither"}
    if wrong:
        raise InputError(f"an answer is 'first', 'second' or 'neither', not '{min(wrong)}'.")
    given = np.array(answers, dtype=object)
    first, second = (np.concatenate([[0], np.cumsum(given == name)]) for name in ("first", "second"))
    open_ = undecided(first, second, differing, limit)
    n = len(answers) if bool(open_.all()) else int(open_.argmin())
    names: dict[int, Winner] = {1: "first", -1: "second", 0: "neither"}
    better = None if open_[n] else names[int(np.sign(first[n] - second[n]))]
    return Verdict(better, n, int(first[n]), int(second[n]), differing, level)


def undecided(
    first: Int[np.ndarray, " n"], second: Int[np.ndarray, " n"], differing: int, limit: float
) -> Bool[np.ndarray, " n"]:
    """True while a comparison is undecided, after 0, 1, 2, ... answers.

    Args:
        first: answers so far on which the first is right.
        second: answers so far on which the second is right.
        differing: images on which the two differ.
        limit: logarithm of the wealth at which a side is taken.
    """
    left = differing - np.arange(len(first))
    ahead, behind = np.maximum(first, second), np.minimum(first, second)
    certain = (ahead - behind > left) | (left == 0)
    return np.asarray(~certain & ((ahead == behind) | (log_wealth(ahead, behind, first + second + left) < limit)))


def log_wealth(
    ahead: Int[np.ndarray, " n"], behind: Int[np.ndarray, " n"], total: Int[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """Logarithm of what bets on the one that is ahead have won against "it is not better".

    Args:
        ahead: answers on which it alone is right, more than ``behind``.
        behind: answers on which the other alone is right.
        total: images at most on which one of them is right: those answered so and those not yet asked.
    """
    each = np.multiply.outer(ahead, np.log(SHARES)) + np.multiply.outer(behind, np.log(1 - SHARES))
    fair = np.maximum(*(_log_chance(ahead, behind, size // 2, size - size // 2) for size in (total, total - 1)))
    return np.asarray(logsumexp(each, axis=-1) - np.log(len(SHARES)) - fair)


def _log_chance(
    ahead: Int[np.ndarray, " n"],
    behind: Int[np.ndarray, " n"],
    own: Int[np.ndarray, " n"],
    other: Int[np.ndarray, " n"],
) -> Float[np.ndarray, " n"]:
    """Logarithm of the chance of one order of answers, drawn from images on which each is right."""
    possible = (ahead <= own) & (behind <= other)
    ways = sum(gammaln(of + 1) - gammaln(np.maximum(of - n, 0) + 1) for of, n in ((own, ahead), (other, behind)))
    total = np.maximum(own + other, 0)
    orders = gammaln(total + 1) - gammaln(np.maximum(total - ahead - behind, 0) + 1)
    return np.where(possible, ways - orders, -np.inf)
