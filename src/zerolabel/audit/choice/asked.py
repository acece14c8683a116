"""The models among which is chosen, and what was asked of a person so far."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int

from zerolabel.errors import InputError

NONE = -1
"""Prediction of a model that gave no answer, and the label of an image of no named class."""


@dataclass(frozen=True)
class Models:
    """Predictions of K models for N images.

    Attributes:
        scores: probabilities of the classes; a row without a positive number is no answer.
    """

    scores: Float[np.ndarray, "K N C"]

    def __post_init__(self) -> None:
        """Raise an InputError where there is nothing to choose."""
        if len(self.scores) < 2 or not self.scores.shape[1]:
            raise InputError("a choice needs predictions of at least two models for at least one image.")

    @cached_property
    def predicted(self) -> Int[np.ndarray, "K N"]:
        """Class of the largest score, `NONE` without an answer."""
        return np.asarray(np.where(self.scores.max(2) > 0, self.scores.argmax(2), NONE))

    @cached_property
    def differing(self) -> Int[np.ndarray, " M"]:
        """Images on which not all models predict the same; the others cannot tell which is best."""
        return np.flatnonzero((self.predicted != self.predicted[0]).any(0))

    @cached_property
    def alike(self) -> Float[np.ndarray, "K K M"]:
        """1 where two models give the same answer for a differing image."""
        own = self.predicted[:, self.differing]
        return np.asarray(((own[:, None] == own) & (own >= 0)).astype(np.float32))


@dataclass(frozen=True)
class Asked:
    """Answers in the order in which they were given.

    Attributes:
        images: that were asked.
        labels: classes that the person gave, `NONE` for none of them.
        chances: with which each image was drawn among those that were left; 1 where it was not drawn at random.
    """

    images: Int[np.ndarray, " n"]
    labels: Int[np.ndarray, " n"]
    chances: Float[np.ndarray, " n"]

    @classmethod
    def nothing(cls) -> "Asked":
        """Before the first answer."""
        return cls(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), np.empty(0))

    def and_then(self, image: int, label: int, chance: float = 1.0) -> "Asked":
        """A copy with one more answer."""
        return Asked(
            np.append(self.images, image), np.append(self.labels, label), np.append(self.chances, float(chance))
        )

    def correct(self, models: Models) -> Bool[np.ndarray, "K n"]:
        """True where a model's prediction matches the answer."""
        return np.asarray((models.predicted[:, self.images] == self.labels) & (self.labels >= 0))
