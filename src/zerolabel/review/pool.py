"""The images of a review with their predictions."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int

from zerolabel.data.images import ImageSet


@dataclass(frozen=True)
class Pool:
    """N images and what was answered for them.

    Attributes:
        words: what the images are called in a sentence.
        images: the images, in the order of the rows below.
        predicted: class ids; -1 where nothing was answered.
        confidence: of the answers.
        compared: class ids of another answer, such as that of the prompts without training; none where there is none.
        candidates: candidate sets; none where they are not known.
        taught: images with a human label for training, which measure nothing.
        names: what answers, and what is compared with it.
        scores: probabilities of the classes, from the annotators or a learner; none where they are not known.
        strata: groups from which images are drawn to measure, -1 for those that are not; None forms them by confidence
            and agreement. A run keeps them, so that the same sample measures all of its classifiers.
        labels: human labels of the taught images, -1 elsewhere; none where they are not known.
    """

    words: str
    images: ImageSet
    predicted: Int[np.ndarray, " N"]
    confidence: Float[np.ndarray, " N"]
    compared: Int[np.ndarray, " N"] | None
    candidates: Bool[np.ndarray, "N C"] | None
    taught: Bool[np.ndarray, " N"]
    names: tuple[str, str] = ("prediction", "other answer")
    scores: Float[np.ndarray, "N C"] | None = None
    strata: Int[np.ndarray, " N"] | None = None
    labels: Int[np.ndarray, " N"] | None = None

    def __len__(self) -> int:
        return len(self.images)

    @property
    def agreed(self) -> Bool[np.ndarray, " N"] | None:
        """True where the second prediction, or every annotator, agrees with the prediction; None without either."""
        if self.compared is not None:
            return np.asarray(self.compared == self.predicted)
        return None if self.candidates is None else np.asarray(self.candidates.sum(1) == 1)


@dataclass(frozen=True)
class Subject:
    """Subject of a review.

    Attributes:
        path: what was given.
        place: folder that the answers go to.
        title: a few words.
        classes: class names.
        measured: images that accuracy is about: held-out ones where there are any.
        learned: images that training sees.
        run: the run's folder, whose figures and report carry what is measured; none for anything else.
        rivals: probabilities of the learners of a comparison for the measured images, by their names.
    """

    path: Path
    place: Path
    title: str
    classes: tuple[str, ...]
    measured: Pool
    learned: Pool
    run: Path | None
    rivals: Mapping[str, Float[np.ndarray, "N C"]] = field(default_factory=dict)
