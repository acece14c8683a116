"""Which images must a person label so that the finished labels are nearly all right? See `zerolabel.audit.quality`."""

import hashlib
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Int

from zerolabel.audit.quality import Guarantee, guarantee, needed
from zerolabel.data.answers import BY_HAND, PLAIN, RANDOM
from zerolabel.errors import InputError
from zerolabel.review.pool import Pool
from zerolabel.review.questions.question import NOT_SURE, Given, Standing, percent

LEAST = 100
"""Images drawn first by default, where so many are not needed."""


class Guaranteed:
    """See `zerolabel.review.questions.question.Question`: some images are drawn, then the doubtful ones are labeled.

    Args:
        pool: the images of the finished data set; those that were labeled for training are right as they are.
        max_error: share of wrong labels that may be left.
        n: images drawn first; by default as many as are needed, and at least `LEAST`.
        seed: of the draw.

    Raises:
        InputError: the error is no share, or n is too small for any label to stay.
    """

    kind, title = "guarantee", "Guarantee"

    def __init__(self, pool: Pool, max_error: float, n: int | None, seed: int) -> None:
        self.pool, self.max_error = pool, max_error
        self.places = np.flatnonzero(~pool.taught)
        least = needed(len(self.places), max_error=max_error)
        if n is not None and n < least:
            raise InputError(
                f"-n {n}: at most {percent(max_error)} wrong labels among {len(self.places):,} images takes at least "
                f"{least} answers; give -n {least} or more, or leave it out."
            )
        self.n = min(n or max(LEAST, least), len(self.places))
        keys = [hashlib.sha256(f"plain {seed}:{pool.images.file_names[one]}".encode()).digest() for one in self.places]
        self.order = self.places[sorted(range(len(keys)), key=keys.__getitem__)]

    def counts(self, why: str) -> bool:
        """True if answers to images with this reason count."""
        return why.startswith(RANDOM) or why == BY_HAND

    def why(self, place: int) -> str:
        """Why an image is shown."""
        return PLAIN if place in self._drawn else BY_HAND

    def items(self, given: Given) -> list[int]:
        """Images in the order of the page."""
        drawn = self.order[: self.n].tolist()
        found = self.found(given)
        return drawn if found is None else [*drawn, *self._by_hand(found)]

    def found(self, given: Given) -> Guarantee | None:
        """Which labels may stay; none before every drawn image is answered."""
        drawn = self.order[: self.n]
        if any(place not in given for place in drawn.tolist()):
            return None
        row = {place: row for row, place in enumerate(self.places.tolist())}
        correct = np.array([given[place] == self.pool.predicted[place] for place in drawn.tolist()], bool)
        rows = np.array([row[place] for place in drawn.tolist()], np.int64)
        return guarantee(1 - self.pool.confidence[self.places], rows, correct, max_error=self.max_error)

    def standing(self, given: Given) -> Standing:
        """Progress and result."""
        done, found = sum(place in given for place in self.order[: self.n].tolist()), self.found(given)
        claim = f"at most {percent(self.max_error)} of the finished labels are wrong, with 95% probability"
        if found is None:
            status = f"{done} of {self.n} drawn images checked"
            told = f"After them the page asks what is needed so that {claim}."
            return Standing(done, self.n, status, status, told, False)
        by_hand = self._by_hand(found)
        labeled = sum(place in given for place in by_hand)
        n, done = self.n + len(by_hand), self.n + labeled
        if labeled < len(by_hand):
            status = f"{labeled} of {len(by_hand)} doubtful images labeled"
            return Standing(done, n, status, status, f"When all are labeled, {claim}.", False)
        kept = len(self.places) - n
        told = f"{n:,} images were labeled by hand, and {kept:,} keep their prediction"
        unsure = self._unsure(given)
        beside = f" Left unsure, and perhaps wrong beyond that: {unsure}." if unsure else ""
        return Standing(n, n, f"all {n} labeled", claim[0].upper() + claim[1:], f"{told}.{beside}", True)

    def findings(self, given: Given) -> dict[str, Any]:
        """Entries of ``metrics.json``."""
        found = self.found(given)
        if found is None or not self.standing(given).over:
            return {}
        return {
            "guarantee": {
                "max_error": self.max_error,
                "bound": found.bound + self._unsure(given) / len(self.places),
                "level": found.level,
                "n_answers": self.n + len(self._by_hand(found)),
                "n_images": len(self.places),
                "n_unsure": self._unsure(given),
                "threshold": 1 - found.threshold,
            }
        }

    @cached_property
    def _drawn(self) -> frozenset[int]:
        return frozenset(self.order[: self.n].tolist())

    def _by_hand(self, found: Guarantee) -> list[int]:
        """Images to label by hand beside the drawn ones, the most doubtful first."""
        places: Int[np.ndarray, " M"] = self.places[found.to_ask]
        order = np.argsort(self.pool.confidence[places], kind="stable")
        return [int(place) for place in places[order]]

    def _unsure(self, given: Given) -> int:
        return sum(label == NOT_SURE for place, label in given.items() if not self.pool.taught[place])
