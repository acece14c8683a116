"""Answers from a file of labels instead of a person: each question is asked, and its images are looked up."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from zerolabel.data.answers import NONE, UNSURE, consensus, read_answers
from zerolabel.data.classes import plain
from zerolabel.data.label_tables import read_rows
from zerolabel.errors import InputError
from zerolabel.integrations.addresses import located
from zerolabel.review.review import Kind, Review

REVIEWER = "file"
"""Who answers, where the file does not say it."""


def read_labels(path: Path, review: Review) -> dict[str, int | str]:
    """Answers of a file by image name: a class id, or ``none`` or ``unsure``.

    Args:
        path: ``file_name,label``, or answers of a review. A label that is none of the classes means none of them.
        review: whose images and classes these are.

    Raises:
        InputError: there is no such file, it cannot be read, or it names no image of the review.
    """
    if not path.is_file():
        raise InputError(f"there are no answers {path}; give a CSV or parquet of file_name,label.")
    answers = read_answers(path)
    rows = list(consensus(answers).items()) if answers is not None else read_rows(path)
    pools = (review.subject.measured, review.subject.learned)
    names = tuple(dict.fromkeys(name for pool in pools for name in pool.images.file_names))
    ids = {plain(name): place for name, place in review.ids.items()}
    words = {plain(NONE): "none", plain(UNSURE): "unsure", "": "unsure"}
    places = located([name for name, _ in rows], names)
    known = set(names)
    found = {
        name: ids.get(plain(label), words.get(plain(label), "none"))
        for name, (_, label) in zip(places, rows, strict=True)
        if name in known
    }
    if not found:
        raise InputError(f"the answers {path} name no image of {review.subject.path}; give their own labels.")
    return found


def answer_from(
    labels: Mapping[str, int | str], review: Review, kinds: Iterable[Kind], reviewer: str = REVIEWER
) -> dict[Kind, int]:
    """Answer questions until they need no further answer, or the labels lack an image that is asked about.

    An image that is missing is not passed over: the answers would not be those of a random sample.

    Returns:
        How many images were answered, by question.
    """
    told: dict[Kind, int] = {}
    for kind in kinds:
        names, told[kind] = review.pool(kind).images.file_names, 0
        while (place := review.following(kind)) is not None and names[place] in labels:
            review.answer(kind, place, labels[names[place]], reviewer)
            told[kind] += 1
    return told
