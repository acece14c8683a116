"""Images on which student and zero-shot ensemble differ."""

from zerolabel.report.formats import percent, plural, signed
from zerolabel.report.gallery import gallery
from zerolabel.report.markup import Html, Section, details, figure, html, join, number, paragraph, top_table
from zerolabel.report.run import Run

MOST = 48
FIRST = 24


def _gains(run: Run) -> list[Html]:
    """Whom the student helps by what both models hold to be true; where truth is known, its own section says it."""
    found = run.metrics.get("estimated_gains") or {}
    lower, upper = found.get("lower_half"), found.get("upper_half")
    if run.has_truth or lower is None or upper is None:
        return []
    return [
        paragraph(
            "Estimated change of accuracy, without labels, from the probabilities of both: "
            f"{signed(100 * lower, 1)} points for the half of the classes on which {run.before} seems weakest, "
            f"{signed(100 * upper, 1)} for the other half. Mistakes that both are confident in do not show in this."
        )
    ]


def section(run: Run) -> Section | None:
    """The most confident changes, as pictures, and the most frequent ones, as a table."""
    both = run.predictions.dropna(subset=["zero_shot", "student"])
    if not len(both):
        return None
    changed = both[both["zero_shot"] != both["student"]].sort_values(
        "student_confidence", ascending=False, kind="stable"
    )
    if not len(changed):
        text = f"The student and {run.before} agree on every image."
        return Section("changes", "Changed predictions", paragraph(text))
    text = html(
        "The student and {before} disagree on {n} of {all} images ({share}). Below are the changes that the student is "
        "most confident of; if training worked, almost all of them look right.",
        n=f"{len(changed):,}",
        all=f"{len(both):,}",
        share=percent(len(changed) / len(both)),
        before=run.before,
    )
    parts = [paragraph(text), *_gains(run), gallery(run, changed.head(FIRST), change=True)]
    rest = changed[FIRST:MOST]
    if len(rest):
        parts.append(details(plural(len(rest), "more image"), gallery(run, rest, change=True)))
    pairs = changed.groupby(["zero_shot", "student"], sort=False).size().sort_values(ascending=False, kind="stable")
    most = pairs.head(100).reset_index().itertuples(index=False)
    rows = [(before, after, number(f"{n:,}")) for before, after, n in most]
    table = top_table(
        (run.before_title, "Student", number("Images")), rows, caption="Most frequent changes", kind="classes", top=10
    )
    parts.append(figure("Most frequent changes", table, size="narrow"))
    return Section("changes", "Changed predictions", join(parts))
