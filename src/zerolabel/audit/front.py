"""An audit of predictions on arrays: what to ask, what was answered, and what may be claimed."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Int

from zerolabel.audit import teach
from zerolabel.audit.accuracy import Interval, interval
from zerolabel.audit.anytime import anytime
from zerolabel.audit.quality import Guarantee, guarantee
from zerolabel.audit.strata import count, draw, stratify
from zerolabel.audit.versus import Verdict, draw_differing, verdict
from zerolabel.errors import InputError


class Audit:
    """Questions about one classifier's predictions, and a person's answers.

    Each question has an order of the images that is drawn from the seed and knows no answer. It is evaluated on the
    longest beginning of that order that is answered, so that answers to one question serve the others as well, and
    images that were answered for other reasons do no harm.

    >>> random = np.random.default_rng(0)
    >>> scores = random.dirichlet(np.ones(3), 200)
    >>> audit = Audit(scores)
    >>> audit.answer({image: int(scores[image].argmax()) for image in audit.ask(50)})
    >>> audit.accuracy().high
    1.0

    Attributes:
        answers: class of each answered image; -1 for none of the classes.
    """

    def __init__(
        self, scores: Float[np.ndarray, "N C"], *, votes: Int[np.ndarray, "N A"] | None = None, seed: int = 0
    ) -> None:
        """Start without an answer.

        Args:
            scores: probabilities of the classes; the largest is the prediction.
            votes: classes that other voters give, such as annotators or another classifier; -1 abstains.
            seed: of all random orders.

        Raises:
            InputError: there is no image.
        """
        self.predicted = scores.argmax(1)
        self.confidence = scores.max(1).astype(np.float64)
        self.agreement = None if votes is None else agreement(self.predicted, votes)
        self.strata = stratify(self.confidence, self.agreement)
        self.seed = seed
        self.answers: dict[int, int] = {}

    def answer(self, labels: Mapping[int, int] | Mapping[int, np.integer]) -> None:
        """Add answers.

        Args:
            labels: image to class; -1 for none of the classes. A later answer replaces an earlier one.

        Raises:
            InputError: there is no such image.
        """
        for image, label in labels.items():
            if not 0 <= image < len(self.predicted):
                raise InputError(f"there is no image {image}; the {len(self.predicted)} images are counted from 0.")
            self.answers[int(image)] = int(label)

    def ask(self, n: int) -> list[int]:
        """Images to answer so that the accuracy rests on at least n answers."""
        return self._open(draw(self.strata, n, seed=self.seed))

    def accuracy(self, *, level: float = 0.95, of_class: int | None = None, looked: bool = False) -> Interval:
        """Share of right predictions.

        Args:
            level: chance that such an interval holds the true share.
            of_class: only images that are predicted as this class; None for all.
            looked: whether one looked in between and may have stopped because of what one saw.

        Raises:
            InputError: there is no answer, or no such level.
        """
        drawn = self._answered(draw(self.strata, len(self.strata), seed=self.seed))
        correct = self.labels(drawn) == self.predicted[drawn]
        of = None if of_class is None else self.predicted == of_class
        if looked:
            return anytime(self.strata, drawn, correct, of=of, level=level)
        return interval(count(self.strata, drawn, correct, of=of), level=level)

    def ask_against(self, other: Int[np.ndarray, " N"], n: int) -> list[int]:
        """Next images to answer, n at most, to compare with other predictions; stop when `against` decides."""
        order = draw_differing(self.predicted, other, seed=self.seed)
        return self._open(order[: len(self._answered(order)) + n])

    def against(self, other: Int[np.ndarray, " N"], *, level: float = 0.95) -> Verdict:
        """The better one of these predictions ("first") and others ("second"), as soon as it is decided."""
        order = draw_differing(self.predicted, other, seed=self.seed)
        drawn = self._answered(order)
        labels = self.labels(drawn)
        first, second = self.predicted[drawn] == labels, other[drawn] == labels
        names = np.where(first, "first", np.where(second, "second", "neither"))
        return verdict(names.tolist(), len(order), level=level)

    def ask_uniformly(self, n: int) -> list[int]:
        """Images to answer so that a guarantee rests on at least n answers, drawn without strata."""
        return self._open(self._plain()[:n])

    def guarantee(self, max_error: float, *, level: float = 0.95) -> Guarantee:
        """Which images to label by hand so that few wrong labels are left; see `zerolabel.audit.quality`."""
        drawn = self._answered(self._plain())
        correct = self.labels(drawn) == self.predicted[drawn]
        return guarantee(1 - self.confidence, drawn, correct, max_error=max_error, level=level)

    def ask_to_teach(self, features: Float[np.ndarray, "N D"], n: int) -> list[int]:
        """Images whose labels should improve a next training most; see `zerolabel.audit.teach`."""
        doubts = teach.doubt(self.confidence, self.agreement)
        known = np.array(sorted(self.answers), dtype=np.int64)
        return [int(image) for image in teach.batch(features, doubts, n, labeled=known, seed=self.seed)]

    def labels(self, images: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
        """Answers on these images; each must be answered."""
        return np.array([self.answers[int(image)] for image in images], dtype=np.int64)

    def _plain(self) -> Int[np.ndarray, " N"]:
        return np.random.default_rng(self.seed).permutation(len(self.predicted))

    def _open(self, images: Int[np.ndarray, " n"]) -> list[int]:
        return [int(image) for image in images if int(image) not in self.answers]

    def _answered(self, order: Int[np.ndarray, " n"]) -> Int[np.ndarray, " m"]:
        given = np.array([int(image) in self.answers for image in order], dtype=bool)
        return order if bool(given.all()) else order[: int(given.argmin())]


def agreement(predicted: Int[np.ndarray, " N"], votes: Int[np.ndarray, "N A"]) -> Float[np.ndarray, " N"]:
    """Share of the votes that agree with each prediction; 0 where all abstain."""
    given = (votes >= 0).sum(1)
    return np.asarray((votes == predicted[:, None]).sum(1) / np.maximum(given, 1))
