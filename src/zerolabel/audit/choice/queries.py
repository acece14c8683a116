"""Candidate models and the queried labels of a model selection."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int

from zerolabel.errors import InputError

NONE = -1
"""Prediction of a model that abstains, and label of an image of none of the classes."""


@dataclass(frozen=True)
class Models:
    """Predictions of K models for N images.

    Attributes:
        scores: class probabilities; a row without a positive number is an abstention.
    """

    scores: Float[np.ndarray, "K N C"]

    def __post_init__(self) -> None:
        """Raise an InputError without two models or an image."""
        if len(self.scores) < 2 or not self.scores.shape[1]:
            raise InputError("a choice needs predictions of at least two models for at least one image.")

    @cached_property
    def predicted(self) -> Int[np.ndarray, "K N"]:
        """Class of the largest score, `NONE` for an abstention."""
        return np.asarray(np.where(self.scores.max(2) > 0, self.scores.argmax(2), NONE))

    @cached_property
    def differing(self) -> Int[np.ndarray, " M"]:
        """Images on which the predictions differ; only these carry information about the best model."""
        return np.flatnonzero((self.predicted != self.predicted[0]).any(0))

    @cached_property
    def consent(self) -> Float[np.ndarray, " K"]:
        """Share of the images on which a model predicts the class of the largest mean score."""
        return np.asarray((self.predicted == self.scores.mean(0).argmax(1)).mean(1))

    @cached_property
    def agreement(self) -> Float[np.ndarray, "K K M"]:
        """1 where two models predict the same class for a differing image."""
        own = self.predicted[:, self.differing]
        return np.asarray(((own[:, None] == own) & (own >= 0)).astype(np.float32))


@dataclass(frozen=True)
class Queries:
    """Human answers so far, in order.

    Attributes:
        images: queried images.
        labels: answered class ids, `NONE` for none of the classes.
        chances: probability with which each image was drawn from the remaining ones; 1 if it was not drawn at random.
    """

    images: Int[np.ndarray, " n"]
    labels: Int[np.ndarray, " n"]
    chances: Float[np.ndarray, " n"]

    @classmethod
    def none(cls) -> "Queries":
        """No answer yet."""
        return cls(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), np.empty(0))

    def with_answer(self, image: int, label: int, chance: float = 1.0) -> "Queries":
        """A copy with one more answer."""
        return Queries(
            np.append(self.images, image), np.append(self.labels, label), np.append(self.chances, float(chance))
        )

    def correct(self, models: Models) -> Bool[np.ndarray, "K n"]:
        """True where a model's prediction matches the answer."""
        return np.asarray((models.predicted[:, self.images] == self.labels) & (self.labels >= 0))
