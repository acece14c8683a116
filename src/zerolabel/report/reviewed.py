"""The measured accuracy of a review as text: interval, sampling design and number of answers."""

from typing import Any

from zerolabel.report.formats import percent, plural
from zerolabel.report.run import Run


def interval(review: dict[str, Any]) -> str:
    """``95% interval: 78.6 to 95.7%``."""
    return f"{100 * review['level']:.0f}% interval: {100 * review['low']:.1f} to {100 * review['high']:.1f}%"


def sentences(run: Run) -> str:
    """The measurements of a reviewed run in a few sentences; empty for another run."""
    parts = [_accuracy(run), _verdict(run.metrics.get("review_verdict"))]
    return " ".join(part for part in parts if part)


def _verdict(found: dict[str, Any] | None) -> str:
    """Which of student and zero-shot is better; empty where that was not asked."""
    if not found:
        return ""
    first, second = found["pair"]
    better = {"first": f"{first} is better", "second": f"{second} is better", None: "it is not decided which is better"}
    decided = better.get(found["better"], "both are right equally often")
    return (
        f"Of {plural(found['differing'], 'image')} on which {first} and {second} differ, {found['answers']:,} were "
        f"checked: {first} is correct for {found['first']:,}, {second} for {found['second']:,}; "
        f"{decided} (error at most {percent(1 - found['level'], 0)})."
    )


def _accuracy(run: Run) -> str:
    review = run.metrics.get("review")
    if not review:
        return ""
    who = "zero-shot ensemble" if run.metrics.get("deployed") == "zero-shot" else "student"
    share = (
        "" if review["accuracy"] is None else f"about {percent(review['accuracy'])} of the {who}’s answers are right "
    )
    lead = (
        f"{plural(review['n_answers'], 'image')} of {review['n_images']:,} {review['images']} were checked by "
        f"{', '.join(review['reviewers'])}: {share}({interval(review)}; {review['design']})."
    )
    beside = []
    if review["n_unsure"]:
        beside.append(f"{review['n_unsure']} were left uncertain: wrong for the lower end and right for the upper end")
    if review["n_none"]:
        beside.append(f"{review['n_none']} show none of the classes and count as wrong")
    return f"{lead} Of these, {'; '.join(beside)}." if beside else lead
