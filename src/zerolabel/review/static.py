"""The review as one HTML file: images, style and program inside; the answers are downloaded as a CSV."""

import base64
import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from zerolabel import report
from zerolabel.audit import accuracy
from zerolabel.audit.anytime import evaluations
from zerolabel.data.answers import COLUMNS, RANDOM
from zerolabel.data.images import Unreadable
from zerolabel.errors import InputError
from zerolabel.files import write_text, writing
from zerolabel.report.run import STATIC_REVIEW as PAGE
from zerolabel.review.page import ALONE, about, filled, text
from zerolabel.review.pictures import picture
from zerolabel.review.review import WORDS, Review
from zerolabel.review.sampling import FIXED, LEVEL, LOOKED
from zerolabel.review.sources import open_subject

SIDE = 800
"""Longest side of an image in pixels."""


def write_static(review: Review, path: Path, reviewer: str) -> None:
    """Write the images that measure, and the page, to one file.

    The number of answers counts as planned from now on, as long as there is no answer yet.

    Args:
        review: the review; images that were answered already are left out.
        path: of the HTML file.
        reviewer: whose name stands in the answers.

    Raises:
        InputError: the file cannot be written.
    """
    with writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, static_page(review, reviewer))
    _ = review.planned


def write_pages(run: Path, metrics: Mapping[str, Any]) -> None:
    """Write the report and the model card of a run, and ``review.html`` where nobody measured its accuracy.

    Args:
        run: the folder.
        metrics: of the run.

    Raises:
        InputError: a file in the folder is damaged.
    """
    (run / PAGE).unlink(missing_ok=True)
    measured = metrics.get("student_accuracy") is not None or "review" in metrics
    with suppress(InputError):  # embeddings without images, or images that are gone
        if not measured:
            write_text(run / PAGE, static_page(Review(open_subject(run)), ""))
    report.write(run)


def static_page(review: Review, reviewer: str) -> str:
    """The page as a text; it asks for a name where no reviewer is known."""
    data = json.dumps(_data(review, reviewer)).replace("<", "\\u003c")
    script = "\n".join([f"const DATA = {data};", *map(text, ALONE)])
    style = text("review.css")
    policy = (
        f"default-src 'none'; img-src data:; script-src 'sha256-{_digest(script)}'; "
        f"style-src 'sha256-{_digest(style)}'; base-uri 'none'; form-action 'none'"
    )
    return filled(
        review.subject.title,
        f"<style>{style}</style>",
        f"<script>{script}</script>",
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
    )


def _data(review: Review, reviewer: str) -> dict[str, Any]:
    pool, queue = review.subject.measured, review.queue("measure")
    items = [place for place in queue["items"] if place not in queue["answers"]]
    data = about(review, reviewer)
    data |= {
        "measured": None,
        "verdict": None,
        "counts": {},
        "questions": {},
        "first": "measure",
        "order": [],
        "marked": 0,
        "done": 0,
        "n": len(items),
        "answered": [],
    }
    return {
        "about": data,
        "items": items,
        "names": {place: pool.images.file_names[place] for place in items},
        "images": {place: _uri(review, place) for place in items},
        "predicted": {place: [int(pool.predicted[place]), float(pool.confidence[place])] for place in items},
        "design": _design(review),
        "columns": COLUMNS,
        "why": RANDOM,
        "words": WORDS,
    }


def _design(review: Review) -> dict[str, Any]:
    """The sample, and the numbers of the interval that the page computes after each answer."""
    sampled, pool, given = review.sampled, review.subject.measured, review.queue("measure")["answers"]
    order = sampled.first(review.n)
    return {
        "order": order,
        "known": {place: _outcome(choice, int(pool.predicted[place])) for place, choice in given.items()},
        "strata": sampled.strata[sampled.order[: review.n]].tolist(),
        "sizes": np.bincount(sampled.strata).tolist(),
        "planned": review.n if review.measured is None else review.planned,
        "evaluations": evaluations(len(sampled.places)),
        "n_images": len(sampled.places),
        "images": pool.words,
        "caution": accuracy.CAUTION,
        "margin": accuracy.MARGIN,
        "grid": accuracy.GRID,
        "level": LEVEL,
        "fixed": FIXED,
        "looked": LOOKED,
    }


def _outcome(choice: int | str, predicted: int) -> str:
    """An answer as the page counts it."""
    return str(choice) if isinstance(choice, str) else "right" if choice == predicted else "wrong"


def _uri(review: Review, place: int) -> str:
    """An image as a data URI; empty where it cannot be read."""
    try:
        data, media = picture(review.subject.measured.images, place, SIDE)
    except Unreadable:
        return ""
    return f"data:{media};base64,{base64.b64encode(data).decode()}"


def _digest(content: str) -> str:
    return base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
