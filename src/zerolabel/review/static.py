"""The review as one HTML file: images, style and program inside; the answers are downloaded as a CSV."""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

from zerolabel.data.answers import COLUMNS, RANDOM
from zerolabel.data.images import Unreadable
from zerolabel.files import write_text, writing
from zerolabel.review.page import about, filled, text
from zerolabel.review.pictures import picture
from zerolabel.review.review import WORDS, Review

SIDE = 800
"""Longest side of an image in pixels."""


def write_static(review: Review, path: Path, reviewer: str) -> None:
    """Write the images that measure, and the page, to one file.

    Predictions are not in it, so that nothing can give them away before an image is answered.

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


def static_page(review: Review, reviewer: str) -> str:
    """The page as a text."""
    data = json.dumps(_data(review, reviewer)).replace("<", "\\u003c")
    script = f"const DATA = {data};\n{text('static.js')}\n{text('review.js')}"
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
        "columns": COLUMNS,
        "why": RANDOM,
        "words": WORDS,
    }


def _uri(review: Review, place: int) -> str:
    """An image as a data URI; empty where it cannot be read."""
    try:
        data, media = picture(review.subject.measured.images, place, SIDE)
    except Unreadable:
        return ""
    return f"data:{media};base64,{base64.b64encode(data).decode()}"


def _digest(content: str) -> str:
    return base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
