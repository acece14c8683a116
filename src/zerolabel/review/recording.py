"""What a review came to, where its run says what it knows: ``metrics.json``, the report and the model card."""

import json
from pathlib import Path
from typing import Any

from zerolabel import report
from zerolabel.data.answers import RANDOM
from zerolabel.errors import InputError
from zerolabel.files import write_text
from zerolabel.files.plain_json import dumps
from zerolabel.review.ledger import Ledger
from zerolabel.review.review import Review
from zerolabel.review.sources import open_subject

KEY = "review"
"""Of ``metrics.json``."""


def finish(review: Review) -> str:
    """Write what was measured into its run, and say in a sentence what it is and where it stands."""
    measured = review.measured
    if measured is None:
        return "No image that was drawn at random is answered yet; nothing was measured."
    share = "" if measured.accuracy is None else f"{measured.accuracy:.1%} right, "
    told = (
        f"{share}{measured.level:.0%} interval {measured.low:.1%} to {measured.high:.1%}, {measured.n_answers} answers"
    )
    run = review.subject.run
    if run is None:
        return f"{told}; they are in {review.ledger.path}."
    put(run, measured.to_dict())
    page, card = report.write(run)
    return f"{told}; written to {page}, {card} and metrics.json."


def put(run: Path, measured: dict[str, Any]) -> None:
    """Set what was measured in ``metrics.json``.

    Raises:
        InputError: the file is damaged.
    """
    path = run / "metrics.json"
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise InputError(f"{path} is missing or damaged; finish the run with --resume.") from None
    write_text(path, dumps({**metrics, KEY: measured}, indent=2) + "\n")


def remember(run: Path) -> dict[str, Any] | None:
    """Measure a run again, whose answers are in its folder; ``metrics.json`` then says so.

    Returns:
        What ``metrics.json`` says under `KEY`; none where nobody answered, or the images are gone.
    """
    ledger = run / "review" / "answers.csv"
    if not ledger.is_file() or not any(answer.why == RANDOM for answer in Ledger(ledger).answers):
        return None
    try:
        measured = Review(open_subject(run)).measured
    except InputError:
        return None
    if measured is None:
        return None
    put(run, measured.to_dict())
    return measured.to_dict()
