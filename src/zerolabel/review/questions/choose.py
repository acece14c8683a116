"""Which of several learners is best? Images on which the leading ones differ most are asked, one after the other."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from zerolabel.audit import choice
from zerolabel.data.answers import RIVALS
from zerolabel.review.pool import Pool
from zerolabel.review.questions.question import Given, Standing

SHOWN = 5
"""Learners that the result names."""


class Choose:
    """See `zerolabel.review.questions.question.Question`.

    Args:
        pool: the images.
        rivals: probabilities of each learner, by its name.
        n: answers.
    """

    kind, title = "choose", "Which is best"

    def __init__(self, pool: Pool, rivals: Mapping[str, Float[np.ndarray, "N C"]], n: int) -> None:
        self.pool, self.names = pool, tuple(rivals)
        self.models = choice.Models(np.stack(list(rivals.values())))
        self.n = min(n, len(self.models.differing))

    def counts(self, why: str) -> bool:
        """True if answers to images with this reason count."""
        return why == RIVALS

    def why(self, place: int) -> str:
        """Why an image is shown."""
        return RIVALS

    def items(self, given: Given) -> list[int]:
        """Images in the order of the page."""
        asked = [place for place in given if place in self._differing]
        if len(asked) >= self.n:
            return asked
        following = choice.ask(self.models, self._asked(given), np.random.default_rng(len(asked)))
        return asked if following is None else [*asked, following[0]]

    def order(self, given: Given) -> list[str]:
        """The learners, the one to choose first."""
        return [self.names[one] for one in choice.ranking(self.models, self._asked(given))]

    def standing(self, given: Given) -> Standing:
        """Progress and result."""
        done, right = len(self._asked(given).images), self._right(given)
        over = done >= self.n
        if not self.n:
            return Standing(0, 0, "", "The learners give the same answers.", "There is nothing to choose.", True)
        best, *others = self.order(given)
        status = f"{done} of {self.n} checked" + (f", {best} is ahead" if done else "")
        told = ", ".join(f"{name} {right[name]}" for name in (best, *others)[:SHOWN])
        more = f" and {len(others) + 1 - SHOWN} others" if len(others) >= SHOWN else ""
        meaning = (
            f"Right among the {done} images: {told}{more}. {choice.claim(done)} The images were chosen because the "
            "learners differ on them, so these numbers are no accuracies."
        )
        return Standing(done, self.n, status, f"{best} is best" if over else f"{best} is ahead", meaning, over)

    def findings(self, given: Given) -> dict[str, Any]:
        """Entries of ``metrics.json``."""
        done = len(self._asked(given).images)
        if not done:
            return {}
        right, order = self._right(given), self.order(given)
        return {
            "choice": {
                "learner": order[0],
                "order": order,
                "right": {name: right[name] for name in order},
                "n_answers": done,
                "n_differing": len(self.models.differing),
                "design": choice.TITLES[choice.DEFAULT],
            }
        }

    @property
    def _differing(self) -> frozenset[int]:
        return frozenset(self.models.differing.tolist())

    def _asked(self, given: Given) -> choice.Queries:
        images = [place for place in given if place in self._differing]
        labels = np.array([max(given[place], choice.NONE) for place in images], np.int64)
        return choice.Queries(np.array(images, np.int64), labels, np.ones(len(images)))

    def _right(self, given: Given) -> dict[str, int]:
        counted = self._asked(given).correct(self.models).sum(1)
        return dict(zip(self.names, counted.tolist(), strict=True))
