"""Distribution of the predictions over classes and confidence."""

import numpy as np
import pandas as pd

from zerolabel.report.charts import histogram
from zerolabel.report.formats import percent, signed
from zerolabel.report.markup import TOP, Html, Section, bar, figure, grid, join, number, paragraph, top_table
from zerolabel.report.run import Run

BINS = 20


def section(run: Run) -> Section | None:
    """Confidence histogram and per-class counts."""
    if not len(run.shown):
        return None
    intro = paragraph(
        f"Counted on {run.shown_name}. A class that vanishes, or absorbs others, between {run.before} and student has "
        "collapsed."
    )
    body = join(
        [intro, grid([_confidence(run), _coverage(run)]), figure("Answers per class", _counts(run), size="wide")]
    )
    return Section("predictions", "Predictions", body)


def _confidence(run: Run) -> Html:
    series = []
    for name, column, tone in (
        ("student", "student_confidence", "student"),
        (run.before, "zero_shot_confidence", "zero"),
    ):
        values = pd.to_numeric(run.shown[column], errors="coerce").dropna().to_numpy()
        if len(values):
            series.append((name, np.histogram(values, BINS, (0.0, 1.0))[0].tolist(), tone))
    chart = (
        histogram(series, low=0, high=1, title="Confidence of the answers", x_name="confidence")
        if series
        else paragraph("No confidence was stored.")
    )
    return figure("Confidence", chart)


def _coverage(run: Run) -> Html:
    confidence = run.shown["student_confidence"]
    rows: list[tuple[object, ...]] = [
        (percent(t, 0), number(percent(float((confidence >= t).mean())))) for t in (0.5, 0.7, 0.8, 0.9, 0.95, 0.99)
    ]
    threshold = run.metrics.get("threshold")
    note = "A higher threshold answers fewer images and should leave fewer mistakes among the answers."
    if threshold is not None:
        rows.append((f"{100 * threshold:.1f}% (stored)", number(percent(float((confidence >= threshold).mean())))))
        note += " The stored threshold was chosen without labels."
    rows.sort(key=lambda row: float(str(row[0]).split("%")[0]))
    table = top_table(
        ("Confidence of at least", number("Answered")), rows, caption="Share of images answered at a threshold"
    )
    return figure("Coverage by threshold", table, note)


def _counts(run: Run) -> Html:
    student = run.shown["student"].value_counts()
    zero_shot = run.shown["zero_shot"].value_counts()
    top = max([1, *student.tolist(), *zero_shot.tolist()])
    names = list(run.classes)
    if len(names) > TOP:
        names.sort(key=lambda name: -abs(int(student.get(name, 0)) - int(zero_shot.get(name, 0))))
    rows = []
    for name in names:
        after, before = int(student.get(name, 0)), int(zero_shot.get(name, 0))
        rows.append(
            (
                name,
                bar(before / top, "zero", f"{before:,}"),
                bar(after / top, "student", f"{after:,}"),
                number(signed(after - before)),
            )
        )
    head = ("Class", run.before_title, "Student", number("Change"))
    return top_table(head, rows, caption="Answers per class", kind="classes")
