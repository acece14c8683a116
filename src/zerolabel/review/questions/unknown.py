"""Do the images hold classes that nobody named? The lowest scores are looked at; see `zerolabel.audit.unknown`."""

from dataclasses import asdict
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Int

from zerolabel.audit import unknown
from zerolabel.data.answers import LOW
from zerolabel.review.pool import Pool
from zerolabel.review.questions.question import NO_CLASS, NOT_SURE, Given, Standing, percent


class Unknown:
    """See `zerolabel.review.questions.question.Question`.

    Args:
        pool: the images.
        n: answers.
        seed: of the draw.
    """

    kind, title = "unknown", "Unknown classes"

    def __init__(self, pool: Pool, n: int, seed: int) -> None:
        self.pool, self.seed, self.n = pool, seed, min(n, len(pool))

    def counts(self, why: str) -> bool:
        """True if answers to images with this reason count."""
        return why == LOW

    def why(self, place: int) -> str:
        """Why an image is shown."""
        return LOW

    @cached_property
    def drawn(self) -> Int[np.ndarray, " n"]:
        """The images, in the order in which they are asked about."""
        return unknown.draw_low(self.pool.confidence, self.n, seed=self.seed)

    def items(self, given: Given) -> list[int]:
        """Images in the order of the page."""
        return [int(place) for place in self.drawn]

    def found(self, given: Given) -> unknown.Threshold | None:
        """The threshold; none before every image is answered."""
        places = self.drawn.tolist()
        if any(place not in given for place in places):
            return None
        strange = np.array([given[place] == NO_CLASS for place in places], bool)
        return unknown.threshold(self.pool.confidence, self.drawn, strange)

    def standing(self, given: Given) -> Standing:
        """Progress and result."""
        places = self.drawn.tolist()
        done = sum(place in given for place in places)
        status = f"{done} of {self.n} checked"
        found = self.found(given)
        if found is None:
            told = "Images with low scores are asked more often than others."
            return Standing(done, self.n, status, status, told, False)
        error = f"{percent(found.error.low)} to {percent(found.error.high)}"
        share = f"About {percent(found.unknown)} of the images are of none of the classes."
        unsure = sum(given[place] == NOT_SURE for place in places)
        beside = f" Left unsure, and counted as known: {unsure}." if unsure else ""
        if found.score == -np.inf:
            return Standing(
                done, self.n, status, "No threshold is needed",
                f"{share} Answering always is wrong for {error} of them (95% interval).{beside}", True,
            )  # fmt: skip
        meaning = (
            f"{share} With this threshold, {error} of the images are called unknown though they are of a class, or the "
            f"reverse (95% interval). Use it with zerolabel predict --threshold.{beside}"
        )
        return Standing(done, self.n, status, f"Unknown below {found.score:.3f}", meaning, True)

    def findings(self, given: Given) -> dict[str, Any]:
        """Entries of ``metrics.json``."""
        found = self.found(given)
        if found is None:
            return {}
        score = None if found.score == -np.inf else found.score
        return {
            "unknown": {
                "threshold": score,
                "share": found.unknown,
                "error": asdict(found.error),
                "n_answers": self.n,
                "n_images": len(self.pool),
            }
        }
