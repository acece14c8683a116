"""Writes the result of a review to its run: ``metrics.json``, the report and the model card."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from zerolabel import report
from zerolabel.errors import InputError
from zerolabel.files import write_text
from zerolabel.files.plain_json import dumps
from zerolabel.review.review import Review
from zerolabel.review.sources import open_subject

ACCURACY, OTHER, VERDICT = "review", "review_other", "review_verdict"
"""Of ``metrics.json``: the measured accuracy of what is deployed, that of the other answer, and which is better."""
CHOICE = "choice.json"
"""In the folder of a comparison: which learner the answers put first."""


def findings(review: Review) -> dict[str, Any]:
    """Entries of ``metrics.json`` for the answers; empty if they give no result yet."""
    measured, other, verdict = review.measured, review.measured_other, review.verdict
    found = {} if measured is None else {ACCURACY: measured.to_dict()}
    found |= {} if other is None else {OTHER: {"of": review.subject.measured.names[1], **other.to_dict()}}
    if verdict is not None and verdict.answers:
        found[VERDICT] = {**asdict(verdict), "pair": list(review.subject.measured.names)}
    return found | {f"review_{kind}": one for kind, one in review.findings().items()}


def finish(review: Review) -> str:
    """Write what was measured into its run, and say in a sentence what it is and where it stands."""
    found = findings(review)
    if not found:
        return f"Nothing was measured yet; the answers are in {review.ledger.path}."
    summary = "; ".join(in_words(found))
    run, path = review.subject.run, review.subject.path
    if run is None and "review_choice" in found:
        write_text(path / CHOICE, dumps(found["review_choice"], indent=1) + "\n")
        return f"{summary}; written to {path / CHOICE}."
    if run is None:
        return f"{summary}; the answers are in {review.ledger.path}."
    put(run, found)
    page, card = report.write(run)
    return f"{summary}; written to {page}, {card} and metrics.json."


def in_words(found: dict[str, Any]) -> list[str]:
    """One clause for each of the `findings`."""
    clauses = []
    if (one := found.get(ACCURACY)) is not None:
        share = "" if one["accuracy"] is None else f"{one['accuracy']:.1%} right, "
        ends = f"{one['level']:.0%} interval {one['low']:.1%} to {one['high']:.1%}"
        clauses.append(f"{share}{ends}, {one['n_answers']} answers")
    if (one := found.get(VERDICT)) is not None:
        first, second = one["pair"]
        better = {"first": f"{first} is better", "second": f"{second} is better", None: "not decided"}
        decided = better.get(one["better"], "both are right equally often")
        clauses.append(f"{first} right {one['first']}, {second} right {one['second']} where they differ: {decided}")
    return [*clauses, *_of_questions(found)]


def _of_questions(found: dict[str, Any]) -> list[str]:
    """Clauses about the questions beside the accuracy."""
    clauses = []
    if (one := found.get("review_choice")) is not None:
        clauses.append(f"{one['learner']} is put first by {one['n_answers']} answers ({one['design']})")
    if (one := found.get("review_guarantee")) is not None:
        clauses.append(
            f"at most {one['bound']:.1%} of the labels are wrong with {one['level']:.0%} probability, "
            f"{one['n_answers']} of {one['n_images']} labeled by hand"
        )
    if (one := found.get("review_unknown")) is not None:
        limit = "no threshold" if one["threshold"] is None else f"unknown below {one['threshold']:.3f}"
        clauses.append(f"{limit}, wrong for {one['error']['low']:.1%} to {one['error']['high']:.1%}")
    return clauses


def put(run: Path, found: dict[str, Any]) -> None:
    """Set what was measured in ``metrics.json``.

    Raises:
        InputError: the file is damaged.
    """
    path = run / "metrics.json"
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise InputError(f"{path} is missing or damaged; finish the run with --resume.") from None
    write_text(path, dumps({**metrics, **found}, indent=2) + "\n")


def remember(run: Path) -> dict[str, Any]:
    """Measure a run again, whose answers are in its folder; ``metrics.json`` then says so.

    Returns:
        The `findings`; empty where nobody answered, or the images are gone.
    """
    if not (run / "review" / "answers.csv").is_file():
        return {}
    try:
        found = findings(Review(open_subject(run)))
    except InputError:
        return {}
    if found:
        put(run, found)
    return found
