"""The way to the page on which a person measures the accuracy, and what so many answers tell."""

from zerolabel.report.formats import percent
from zerolabel.report.intervals import wilson
from zerolabel.report.markup import Html, Section, figure, html, join, number, paragraph, table
from zerolabel.report.run import Run

_SIZES = (20, 50, 100, 200, 400, 1000)
_SHARE = 0.9


def section(run: Run) -> Section | None:
    """A link to the static review; only where neither truth nor a person measured the accuracy."""
    if run.static_review is None or not len(run.shown):
        return None
    text = html(
        '<a href="{page}">{page}</a>, beside this file, asks for the classes of some of {images}, drawn at random, one '
        "at a time and without showing the prediction, and computes the accuracy with its interval after each answer. "
        "It needs no server. <code>zerolabel review {folder} --import answers.csv</code> takes the answers into this "
        "report.",
        page=run.static_review,
        images=run.shown_name,
        folder=run.folder.name,
    )
    body = join([paragraph(text), _sizes(len(run.shown)), paragraph(_compare(run))])
    return Section("audit", "Measure the accuracy by hand", body)


def _sizes(most: int) -> Html:
    rows = [(str(n), number(_range(*wilson(round(_SHARE * n), n)))) for n in _SIZES if n <= most]
    title = "How many to check"
    head = ("Images checked", number(f"95% interval if {percent(_SHARE, 0)} are right"))
    return figure(title, table(head, rows, caption=title), "Wilson’s binomial interval.")


def _range(low: float, high: float) -> str:
    return f"{100 * low:.1f} to {100 * high:.1f}%"


def _compare(run: Run) -> str:
    both = run.shown.dropna(subset=["zero_shot", "student"])
    differ = int((both["zero_shot"] != both["student"]).sum())
    if not differ:
        return (
            f"The student and {run.before} give the same answer on every image, so neither can be the better one here."
        )
    return (
        f"To learn whether training beat {run.before}, check only images where the two differ ({differ:,} of "
        f"{len(both):,}), under “Compare” of zerolabel review: on the others both are right or both are wrong."
    )
