"""Epochs under a limit of time.

Where the epochs that are left would take longer than the time that is left, some of them are left out, evenly over the
rest of the schedule and never its last one: warm-up, learning rate and ramps then pass faster and still come to their
end. An epoch keeps its number and its progress. What is left out is part of the checkpoint, so that a resumed training
continues by the same decision.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

TIMED = 2
"""Epochs that are timed before any is left out; the first one, in which memory is still filled, does not count."""


@dataclass(frozen=True)
class Limit:
    """Time for a training.

    Attributes:
        seconds: that it may take.
        costs: of each epoch of the schedule, as multiples of each other.
        clock: tells the time in seconds.
    """

    seconds: float
    costs: tuple[float, ...]
    clock: Callable[[], float] = time.perf_counter


@dataclass
class Pace:
    """The epochs of a training that are still to be run.

    Attributes:
        left: their numbers, rising.
        limit: of time; None leaves out nothing.
        kept: number of an epoch that is not left out, such as the first after a warm-up.
        spent: seconds so far, also before an interruption.
        timed: cost and seconds of each epoch of this process.
    """

    left: list[int]
    limit: Limit | None = None
    kept: int | None = None
    spent: float = 0.0
    timed: list[tuple[float, float]] = field(default_factory=list)
    _began: float = 0.0

    @property
    def state(self) -> dict[str, Any]:
        """Plain data for a checkpoint."""
        return {"left": self.left, "spent": self.spent}

    def restore(self, state: Mapping[str, Any] | None, first: int) -> None:
        """Continue after an interruption.

        Args:
            state: from a checkpoint; None for one of a training without a limit.
            first: number of the next epoch where the state does not say what is left.
        """
        if state is None or first == 0:
            self.left = [number for number in self.left if number >= first]
            return
        self.left, self.spent = list(state["left"]), float(state["spent"])

    def begin(self) -> int:
        """Start the next epoch; returns its number."""
        self._began = 0.0 if self.limit is None else self.limit.clock()
        return self.left.pop(0)

    def finish(self, number: int) -> None:
        """Note that an epoch is done; leave out later ones where time is short."""
        if self.limit is None:
            return
        seconds = self.limit.clock() - self._began
        self.spent += seconds
        self.timed.append((self.limit.costs[number], seconds))
        rest = self.limit.seconds - self.spent
        if len(self.timed) >= TIMED or rest <= 0:
            known = self.timed[1:] or self.timed
            rate = sum(each for _, each in known) / max(sum(cost for cost, _ in known), 1e-12)
            self.left = shortened(self.left, self.limit.costs, rest / max(rate, 1e-12), self.kept)


def shortened(left: Sequence[int], costs: Sequence[float], most: float, kept: int | None = None) -> list[int]:
    """As many epochs, evenly spaced, as the sum of their costs allows; the last one is always there.

    Args:
        left: numbers of the epochs.
        costs: of each number.
        most: sum of costs.
        kept: number that is not left out.

    Example:
        >>> shortened(range(2, 10), [1.0] * 10, 4.0)
        [2, 4, 7, 9]
        >>> shortened(range(2, 10), [1.0] * 10, 0.0, kept=5)
        [5, 9]
    """
    if not left or sum(costs[number] for number in left) <= most:
        return list(left)
    fewest = sorted({left[-1], *((kept,) if kept in left else ())})
    low, high = len(fewest), len(left)
    found = fewest
    while low < high:
        count = (low + high + 1) // 2
        tried = spaced(left, count, fewest)
        if sum(costs[number] for number in tried) <= most:
            low, found = count, tried
        else:
            high = count - 1
    return found


def spaced(left: Sequence[int], count: int, fewest: Sequence[int]) -> list[int]:
    """So many numbers, evenly spaced, and those that must not be left out."""
    places = [round(i * (len(left) - 1) / max(count - 1, 1)) for i in range(count)]
    return sorted({*(left[place] for place in places), *fewest})


__all__ = ["Limit", "Pace", "shortened"]
