"""Instructions for measuring the accuracy on a few images checked by hand."""

from zerolabel.report.formats import percent
from zerolabel.report.gallery import gallery
from zerolabel.report.intervals import wilson
from zerolabel.report.markup import Html, Section, details, figure, grid, join, number, paragraph, table
from zerolabel.report.run import Run

SHEET = 60
_SIZES = (50, 100, 200, 400, 1000)


def section(run: Run) -> Section | None:
    """A random sample to check, and what each outcome would mean; only where no truth was given."""
    if run.has_truth or run.metrics.get("review") or not len(run.shown):
        return None
    sheet = run.shown.sample(min(SHEET, len(run.shown)), random_state=0)
    text = (
        f"These {len(sheet)} of {run.shown_name} were drawn at random. Count the answers that are wrong and read "
        "the accuracy "
        "off the table. Do not swap images for others: easy ones flatter."
    )
    tables = grid([_outcomes(len(sheet)), _sizes()])
    body = join(
        [
            paragraph(text),
            tables,
            details(f"The {len(sheet)} images to check", gallery(run, sheet, change=False)),
            paragraph(_compare(run)),
        ]
    )
    return Section("audit", "An audit by hand", body)


def _outcomes(n: int) -> Html:
    wrong = [w for w in (0, 1, 2, 3, 5, 8, 12, 20, 30) if w <= n]
    rows = [(str(w), number(percent(1 - w / n)), number(_range(*wilson(n - w, n)))) for w in wrong]
    title = f"If you find this many wrong among {n}"
    return figure(title, table(("Wrong", number("Right"), number("95% interval")), rows, caption=title))


def _sizes() -> Html:
    rows = [(str(n), number(_range(*wilson(round(0.9 * n), n)))) for n in _SIZES]
    title = "How many to check"
    head = ("Images checked", number("95% interval if 90% are right"))
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
        f"{len(both):,}): "
        "on the others both are right or both are wrong."
    )
