"""Where the student and zero-shot differ."""

from zerolabel.report.formats import percent, plural
from zerolabel.report.gallery import gallery
from zerolabel.report.markup import Section, details, figure, html, join, number, paragraph, top_table
from zerolabel.report.run import Run

MOST = 48
FIRST = 24


def section(run: Run) -> Section | None:
    """The most confident changes, as pictures, and the most frequent ones, as a table."""
    both = run.predictions.dropna(subset=["zero_shot", "student"])
    if not len(both):
        return None
    changed = both[both["zero_shot"] != both["student"]].sort_values(
        "student_confidence", ascending=False, kind="stable"
    )
    if not len(changed):
        text = "The student and zero-shot give the same answer on every image."
        return Section("changes", "Changes of mind", paragraph(text))
    text = html(
        "The student answers {n} of {all} images ({share}) otherwise than zero-shot did. Below are the changes it "
        "is most "
        "confident of: where training worked you should find yourself agreeing with almost all of them.",
        n=f"{len(changed):,}",
        all=f"{len(both):,}",
        share=percent(len(changed) / len(both)),
    )
    parts = [paragraph(text), gallery(run, changed.head(FIRST), change=True)]
    rest = changed[FIRST:MOST]
    if len(rest):
        parts.append(details(plural(len(rest), "more image"), gallery(run, rest, change=True)))
    pairs = changed.groupby(["zero_shot", "student"], sort=False).size().sort_values(ascending=False, kind="stable")
    most = pairs.head(100).reset_index().itertuples(index=False)
    rows = [(before, after, number(f"{n:,}")) for before, after, n in most]
    table = top_table(
        ("Zero-shot", "Student", number("Images")), rows, caption="Most frequent changes", kind="classes", top=10
    )
    parts.append(figure("Most frequent changes", table, size="narrow"))
    return Section("changes", "Changes of mind", join(parts))
