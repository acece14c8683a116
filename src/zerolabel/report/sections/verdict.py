"""The parts of the answer that need no truth: estimated accuracy, what is deployed, alarms, simpler classifiers."""

from typing import Any

from zerolabel.report.formats import percent
from zerolabel.report.markup import Html, figure, html, number, paragraph, table
from zerolabel.report.run import Run

Tile = tuple[str, str, str, str]


def stranger(run: Run) -> Html:
    """The warning that the annotating model does not know the images; empty where it does."""
    text = run.metrics.get("unknown_images")
    return paragraph(sentence(text), "warning bad") if text else Html("")


def deployed(run: Run) -> Html:
    """The deployed classifier and the reason; empty for a run of a version that did not say it."""
    reason, what = run.metrics.get("deployment_reason"), run.metrics.get("deployed")
    if not reason or not what:
        return Html("")
    name = "the student" if what == "student" else "the zero-shot ensemble"
    return html("<p><b>Deployed is {name}</b>: {reason}</p>", name=name, reason=reason)


def estimate(run: Run) -> list[Tile]:
    """The estimated accuracy of what is deployed; none where the run knows none."""
    found = (run.metrics.get("estimated_accuracy") or {}).get(run.metrics.get("deployed", "student"))
    if not found:
        return []
    if not found["known"]:
        return [("plain", "not known", "Estimated accuracy", "nothing dependable without labels; check 50 images")]
    ends = f"{100 * found['low']:.0f} to {100 * found['high']:.0f}%"
    return [("plain", ends, "Estimated accuracy", f"not checked; without labels, on {found['images']}")]


def lifted(run: Run) -> list[str]:
    """Alarms of the training that no longer hold, as sentences."""
    return [
        f"Lifted, since it held no more at the end: after epoch {one['epoch'] + 1} of “{one['stage']}” {one['text']}"
        for one in run.metrics.get("lifted_alarms") or ()
    ]


def compared(run: Run) -> Html:
    """The student beside simpler classifiers, a row each; empty where they were not computed."""
    rows: list[dict[str, Any]] = run.metrics.get("compared") or []
    if not rows:
        return Html("")
    measured = any(row["accuracy"] is not None for row in rows)
    head = ["Classifier", *([number("Accuracy")] if measured else []), number("Estimated without labels")]
    head.append(number(f"Agrees with {run.before}"))
    body = []
    for row in rows:
        about = row["estimated_accuracy"]
        ends = f"{100 * about['low']:.0f} to {100 * about['high']:.0f}%" if about["known"] else "not known"
        accuracy = [number(percent(row["accuracy"]))] if measured else []
        body.append([row["name"], *accuracy, number(ends), number(percent(row["agreement"]))])
    note = (
        "On the same images. LDA and logistic regression read the same frozen features and learn from the class that "
        "the annotators score highest; no row saw a true label."
    )
    made = table(head, body, caption="The student beside simpler classifiers")
    return figure("Beside simpler classifiers", made, note, size="wide")


def sentence(text: str) -> str:
    """A text with a capital at its start."""
    return text[:1].upper() + text[1:]


__all__ = ["compared", "deployed", "estimate", "lifted", "sentence", "stranger"]
