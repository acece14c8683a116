"""Validation of a learner by human labels that it did not see."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Validation:
    """A learner beside the scores that annotators and human labels give together, on images whose labels neither saw.

    Attributes:
        images: number of images.
        learner: on how many of them the learner is right.
        stacked: on how many the stacked scores are right.
        differing: on how many exactly one of the two is right.
    """

    images: int
    learner: int
    stacked: int
    differing: int

    @property
    def loses(self) -> bool:
        """True if the learner is right less often, by more than a standard error of the difference."""
        return self.stacked - self.learner > math.sqrt(self.differing)

    @property
    def text(self) -> str:
        """The finding in a sentence."""
        return (
            f"of {self.images} labeled images that training did not see, it classified {self.learner} correctly, and "
            f"the scores combined with the other labels {self.stacked}."
        )


__all__ = ["Validation"]
