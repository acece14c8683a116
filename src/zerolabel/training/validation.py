"""Validation of a learner by human labels that it did not see."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Validation:
    """A learner beside what needs no training, on images whose labels none of them saw.

    Beside the scores that annotators and human labels give together, which a head imitates in the learner's place where
    it loses to them; and beside a linear probe on the human labels alone, with which what is kept of both is averaged
    unless that makes the hidden labels less likely.

    Attributes:
        images: number of images.
        learner: on how many of them the learner is right.
        stacked: on how many the stacked scores are right.
        differing: on how many exactly one of the two is right.
        probe: on how many the probe is right.
        gain: mean of what averaging with the probe adds to the logarithm of the probability of a hidden label.
        gain_error: standard error of this mean.
    """

    images: int
    learner: int
    stacked: int
    differing: int
    probe: int
    gain: float
    gain_error: float

    @property
    def loses(self) -> bool:
        """True if the learner is right less often than the scores, by more than a standard error of the difference."""
        return self.stacked - self.learner > math.sqrt(self.differing)

    @property
    def averages(self) -> bool:
        """True if averaging with the probe does not make labels less likely, by more than a standard error."""
        return self.gain >= -self.gain_error

    @property
    def replaces(self) -> bool:
        """True if a head that imitates takes the place of the learner."""
        return self.loses or self.averages

    @property
    def text(self) -> str:
        """The finding in a sentence."""
        return (
            f"of {self.images} labeled images that training did not see, it classified {self.learner} correctly, the "
            f"scores combined with the other labels {self.stacked}, and a linear probe on those labels {self.probe}."
        )

    def replacement(self, learner: str) -> str:
        """Name of the method in the place of a learner, and the reason."""
        first = "the combined scores" if self.loses else learner
        imitated = f"the mean of {first} and of a linear probe on the labels" if self.averages else first
        return f"a head that imitates {imitated} takes the place of {learner}: {self.text}"


__all__ = ["Validation"]
