"""Interface of the questions of a review: the images to ask about, and the result of the answers so far."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from zerolabel.data.answers import UNSURE, Answer, consensus
from zerolabel.review.pool import Pool

NO_CLASS, NOT_SURE = -1, -2
"""In the place of a class id: the image is of none of the classes; the reviewer cannot tell."""

Given = Mapping[int, int]
"""Answers by the place of the image, in the order in which they came: a class id, `NO_CLASS` or `NOT_SURE`."""


@dataclass(frozen=True)
class Standing:
    """Progress and result of a question, in words for the page.

    Attributes:
        done: answers so far.
        n: answers that are planned.
        status: the line above the image.
        result: the heading at the end.
        meaning: the sentences under it.
        over: whether no further answer is needed.
    """

    done: int
    n: int
    status: str
    result: str
    meaning: str
    over: bool


@runtime_checkable
class Question(Protocol):
    """A question about the images of one pool.

    Attributes:
        kind: its name in addresses.
        title: of its button.
        pool: the images.
    """

    kind: str
    title: str
    pool: Pool

    def counts(self, why: str) -> bool:
        """True if answers to images with this reason count."""

    def why(self, place: int) -> str:
        """Why an image is shown."""

    def items(self, given: Given) -> list[int]:
        """Places of images in the order of the page: those that were asked about, and what is known of the next."""

    def standing(self, given: Given) -> Standing:
        """Progress and result."""

    def findings(self, given: Given) -> dict[str, Any]:
        """Entries of ``metrics.json``; empty if the answers give no result yet."""


def given_to(question: Question, answers: Iterable[Answer], ids: Mapping[str, int]) -> dict[int, int]:
    """The answers that count for a question."""
    places = {name: place for place, name in enumerate(question.pool.images.file_names)}
    labels = consensus(answer for answer in answers if question.counts(answer.why))
    return {
        places[name]: NOT_SURE if label == UNSURE else ids.get(label, NO_CLASS)
        for name, label in labels.items()
        if name in places
    }


def percent(share: float) -> str:
    """A share as ``12.3%``."""
    return f"{100 * share:.1f}%"
