"""Against the true labels; made only where they were given."""

from zerolabel.evaluation.class_gains import class_gains
from zerolabel.report.charts import Line, lines
from zerolabel.report.formats import percent, signed
from zerolabel.report.heatmap import heat_table
from zerolabel.report.markup import (
    TOP,
    Html,
    Number,
    Section,
    dots,
    figure,
    grid,
    join,
    number,
    paragraph,
    top_table,
)
from zerolabel.report.run import Run
from zerolabel.report.statement import measured_on

MATRIX = 25
HALF = 12
NAMED = 12
"""Most classes whose names fit below an axis."""


def section(run: Run) -> Section | None:
    """Per-class accuracy, confusions and calibration."""
    if not run.has_truth or not run.evaluation.get("confusion"):
        return None
    intro = f"Measured on {measured_on(run)}. These labels were not used in training, selection or thresholds."
    error = run.evaluation.get("ece")
    if error is not None:
        intro += f" Expected calibration error of the student: {percent(error)}."
    names = [str(name) for name in run.evaluation.get("classes", run.classes)]
    parts = [paragraph(intro), figure("Accuracy per class", _per_class(run, names), size="wide"), *_gains(run)]
    confusions = []
    for key, title in (
        ("confusion", "Confusion matrix of the student"),
        ("zero_shot_confusion", f"Confusion matrix of {run.before}"),
    ):
        counts = run.evaluation.get(key)
        if counts:
            confusions.append(
                figure(title, _confusion(counts, names, title), size="" if len(names) <= HALF else "wide")
            )
    parts.append(grid(confusions))
    return Section("truth", "Evaluation", join(parts))


def _gains(run: Run) -> list[Html]:
    """Whom the student helps, in a sentence; nothing where it cannot be said."""
    found = class_gains(run.evaluation.get("zero_shot_per_class") or {}, run.evaluation.get("per_class") or {})
    if found.lower_half is None or found.upper_half is None:
        return []
    ranks = range(1, len(found.classes) + 1)
    curves = [
        Line(run.before, list(zip(ranks, found.before, strict=True)), "zero"),
        Line("student", list(zip(ranks, found.after, strict=True))),
    ]
    title = f"Accuracy per class, in the order of {run.before} accuracy"
    names = [str(name) for name in found.classes] if len(found.classes) <= NAMED else []
    axis = "class" if names else "class, by rank"
    chart = lines(curves, title=title, x_name=axis, x_range=(1, len(ranks)), names=names)
    return [
        figure(title, chart, size="narrow"),
        paragraph(
            f"Mean change of accuracy from {run.before} to the student, in points: "
            f"{signed(100 * found.lower_half, 1)} for the half of the classes on which {run.before} is weakest, "
            f"{signed(100 * found.upper_half, 1)} for the other half."
        ),
    ]


def _per_class(run: Run, names: list[str]) -> Html:
    student = run.evaluation.get("per_class") or run.metrics.get("student_per_class") or {}
    zero_shot = run.evaluation.get("zero_shot_per_class") or {}
    totals = {name: sum(row) for name, row in zip(names, run.evaluation["confusion"], strict=True)}
    known = [name for name in names if student.get(name) is not None]
    if len(known) > TOP:
        known.sort(key=lambda name: (student[name], -totals[name]))
    rows = []
    for name in known:
        before, after = zero_shot.get(name), float(student[name])
        change = Number("–") if before is None else number(signed(100 * (after - before), 1))
        rows.append(
            (
                name,
                number(f"{totals[name]:,}"),
                dots(before, after),
                number(percent(before)),
                number(percent(after)),
                change,
            )
        )
    head = (
        "Class",
        number("Images"),
        f"0 – 100%, ring: {run.before}, dot: student",
        number(run.before_title),
        number("Student"),
        number("Points"),
    )
    return top_table(head, rows, caption="Accuracy per class", kind="classes")


def _confusion(counts: list[list[int]], names: list[str], title: str) -> Html:
    """A matrix while it can be read; the most frequent pairs beyond."""
    if len(names) <= MATRIX:
        totals = [sum(row) or 1 for row in counts]
        matrix = heat_table(
            [[n / total for n in row] for row, total in zip(counts, totals, strict=True)],
            [[f"{n:,}" if n else "" for n in row] for row in counts],
            rows=names,
            columns=names,
            corner="true ↓ answer →",
            caption=f"{title}: rows are true classes, columns are predictions",
            high=1.0,
            diagonal=True,
        )
        return matrix
    pairs = sorted(
        ((n, i, j) for i, row in enumerate(counts) for j, n in enumerate(row) if n and i != j),
        key=lambda pair: -pair[0],
    )[:100]
    rows = [(names[i], names[j], number(f"{n:,}"), number(percent(n / sum(counts[i])))) for n, i, j in pairs]
    if not rows:
        return paragraph("None: every answer is right.")
    head = ("True class", "Answer", number("Images"), number("of the class"))
    return top_table(head, rows, caption=f"{title}, most frequent first", kind="classes")
