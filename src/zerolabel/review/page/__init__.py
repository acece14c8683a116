"""The page of a review: plain HTML, CSS and JavaScript, served as files or written into one."""

from html import escape
from importlib.resources import files
from typing import Any

from zerolabel.review.review import Review

SERVED = ("server.js", "words.js", "review.js")
"""Programs of the page that a server sends, in their order."""
ALONE = ("interval.js", "static.js", "words.js", "review.js")
"""Programs of the page that is one file, in their order."""


def index(title: str) -> str:
    """The page as the server sends it."""
    links = '<link rel="stylesheet" href="review.css">'
    scripts = "\n".join(f'<script src="{name}"></script>' for name in SERVED)
    return filled(title, links, scripts, "")


def about(review: Review, reviewer: str) -> dict[str, Any]:
    """Data of the page before the first image."""
    return {
        "title": review.subject.title,
        "images": review.subject.measured.words,
        "classes": list(review.subject.classes),
        "pair": list(review.subject.measured.names),
        "counts": review.counts,
        "reviewer": reviewer,
        "report": review.subject.run is not None,
        "first": review.first,
        "order": [] if review.guided is None else ["compare", "measure", "teach"],
        "finishing": "",
        "questions": {kind: question.title for kind, question in review.questions.items()},
        **review.progress(),
    }


def text(name: str) -> str:
    """A file of the page."""
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def filled(title: str, links: str, scripts: str, policy: str) -> str:
    """The page with its style and program put in.

    Args:
        title: of what is reviewed.
        links: markup of the style.
        scripts: markup of the program.
        policy: markup of a policy of contents.
    """
    parts = {"TITLE": escape(title), "LINKS": links, "SCRIPTS": scripts, "POLICY": policy}
    page = text("index.html")
    for name, value in parts.items():
        page = page.replace(f"<!--{name}-->", value)
    return page
