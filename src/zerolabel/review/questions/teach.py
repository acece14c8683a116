"""Which labels would improve the next training most? A batch that covers the doubtful images, see `audit.teach`."""

from collections.abc import Collection
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float

from zerolabel.audit import teach
from zerolabel.data.answers import CHOSEN, TAUGHT
from zerolabel.review.pool import Pool
from zerolabel.review.questions.question import Given, Standing


class Teach:
    """See `zerolabel.review.questions.question.Question`.

    Args:
        pool: the images that training sees.
        n: images to label.
        known: places of images that need no label: they have one, or they measure.
        before: places of images that were labeled for this question already.
        features: of the images; without them those of `space`.
    """

    kind, title = "teach", "Teach"

    def __init__(
        self,
        pool: Pool,
        n: int,
        known: Collection[int],
        before: Collection[int] = (),
        features: Float[np.ndarray, "N D"] | None = None,
    ) -> None:
        self.pool, self.features = pool, features
        taught = np.flatnonzero(pool.taught).tolist()
        self.before = [place for place in before if place not in taught]
        self.known = np.array(sorted({*known, *taught, *self.before}), np.int64)
        self.n = min(max(n, len(self.before)), len(self.before) + len(pool) - len(self.known))

    def counts(self, why: str) -> bool:
        """True if answers to images with this reason count."""
        return why.startswith(CHOSEN)

    def why(self, place: int) -> str:
        """Why an image is shown."""
        return TAUGHT

    @cached_property
    def batch(self) -> list[int]:
        """The images to label: those that have a label, then the most useful ones first."""
        agree = None if self.pool.agreed is None else self.pool.agreed.astype(float)
        doubts = teach.doubt(self.pool.confidence, agree)
        features = space(self.pool) if self.features is None else self.features
        new = teach.batch(features, doubts, self.n - len(self.before), labeled=self.known)
        return [*self.before, *map(int, new)]

    def items(self, given: Given) -> list[int]:
        """Images in the order of the page."""
        return self.batch

    def standing(self, given: Given) -> Standing:
        """Progress and result."""
        done = sum(place in given for place in self.batch)
        status = f"{done} of {self.n} labeled"
        meaning = (
            "These labels are for the next training: zerolabel improve, or run with --few-shot. They are harder than "
            "the rest, so no accuracy is measured on them."
        )
        return Standing(done, self.n, status, f"{done} images are labeled", meaning, done >= self.n)

    def findings(self, given: Given) -> dict[str, Any]:
        """Entries of ``metrics.json``."""
        return {}


def space(pool: Pool) -> Float[np.ndarray, "N D"]:
    """Features of a pool that has none: the roots of its probabilities, in which doubtful images are close together.

    Where only the confidence of the prediction is known, what it leaves is that of one further class.
    """
    if pool.scores is not None:
        return np.asarray(np.sqrt(np.maximum(pool.scores, 0)).astype(np.float32))
    sure = np.clip(np.nan_to_num(pool.confidence), 0, 1)
    p = np.zeros((len(pool), int(pool.predicted.max(initial=0)) + 2), np.float32)
    p[np.arange(len(pool)), pool.predicted] = sure
    p[:, -1] += 1 - sure
    return np.asarray(np.sqrt(p))
