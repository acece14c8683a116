"""The page of a comparison of learners."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from zerolabel.diagnostics.model_selection import CELLS, DEFAULT, REGRETS, WORST
from zerolabel.report.charts import Line, lines
from zerolabel.report.formats import duration, percent, plural, size
from zerolabel.report.markup import Html, Section, figure, grid, html, join, number, paragraph, table
from zerolabel.report.page import page
from zerolabel.version import __version__

CRITERIA = {
    "approximated_accuracy": "Approximated accuracy",
    "covering_rate": "Covering rate",
    "cleaned_agreement": "Agrees with cleaned candidates",
    "believed_accuracy": "Estimated accuracy",
    "network_agreement": "Two networks agree",
    "average_confidence": "Mean confidence",
    "nuclear_norm": "Nuclear norm",
    "fused_reference": "Fused with annotator",
    "stability": "Stable over seeds",
}
_PREFIX = "accuracy of "


def build_comparison(
    runs: pd.DataFrame,
    means: pd.DataFrame,
    logs: Mapping[str, Sequence[dict[str, Any]]],
    lead: str,
    folder: str,
    chosen: str | None = None,
) -> str:
    """Make the page.

    Args:
        runs: a row per run.
        means: a row per learner: its means, and with " spread" behind the name their standard deviations.
        logs: epochs of each learner's first run.
        lead: what was compared, in sentences.
        folder: of the comparison, for the command that reviews it.
        chosen: what a person's answers put first, in a sentence; none where nobody was asked.

    Returns:
        One HTML page with its style inside, which opens from disk.
    """
    judged = "accuracy" in means
    result = join([paragraph(_note(judged, chosen)), paragraph(_offer(folder, chosen)), _result(means)])
    made = [Section("result", "Result", result), _curves(logs)]
    if any(str(column).startswith(_PREFIX) for column in means):
        made.append(Section("classes", "Classes", _classes(means)))
    made.append(Section("runs", "Runs", _runs(runs)))
    return page(f"{plural(len(logs), 'learner')} compared", lead, made, brand="comparison", maker=__version__)


def _note(judged: bool, chosen: str | None) -> str:
    criterion, cost = CRITERIA[DEFAULT].lower(), f"{100 * REGRETS[DEFAULT]:.1f} points below the best one on average"
    order = (
        f"Rows are in the order of {criterion} (Wang et al., ICLR 2025), which reads no label. In this project’s "
        f"benchmarks the learner that it puts first is {cost} and {100 * WORST:.1f} at worst, over {CELLS} sets of "
        "images; the last row shows this regret for every criterion."
    )
    if chosen is not None:
        order = (
            f"Rows are in the order of a person’s answers: {chosen}. The last row shows what choosing by a criterion "
            f"without labels costs, mean over {CELLS} sets of images."
        )
    text = f"Mean over seeds, ± standard deviation. {order} No criterion is an accuracy."
    return text if judged else text + " No true labels were given, so the accuracy of the learners is not known."


def _offer(folder: str, chosen: str | None) -> Html:
    measure = html(
        "<code>zerolabel review {folder} --method NAME</code> measures one learner’s accuracy", folder=folder
    )
    if chosen is not None:
        return html("{measure}.", measure=measure)
    return html(
        "A few answers of a person choose more reliably: <code>zerolabel review {folder}</code> asks in the browser "
        "for those on which the learners differ; {measure}.",
        folder=folder,
        measure=measure,
    )


def _cell(means: pd.DataFrame, learner: str, name: str) -> Html:
    row: Any = means.loc[learner]
    value, spread = row[name], row.get(f"{name} spread")
    text = percent(float(value))
    return number(text if spread is None or spread != spread else f"{text} ± {100 * float(spread):.1f}")


def _result(means: pd.DataFrame) -> Html:
    here = [n for n in ("accuracy", "mean_per_class_accuracy", *CRITERIA) if n in means]
    titles = {"accuracy": "Accuracy", "mean_per_class_accuracy": "Mean over classes", **CRITERIA}
    head = ["Learner", *(number(titles[name]) for name in here), number("Time"), number("Peak memory")]
    rows = []
    for learner in map(str, means.index):
        of: Any = means.loc[learner]
        seconds, memory = (of.get(key) for key in ("seconds", "peak_memory"))
        cost = ["–" if v is None or v != v else show(v) for v, show in ((seconds, duration), (memory, size))]
        rows.append([learner, *(_cell(means, learner, name) for name in here), *map(number, cost)])
    regrets = [number(percent(REGRETS[name])) if name in REGRETS else number("–") for name in here]
    rows.append(["regret in benchmarks", *regrets, number("–"), number("–")])
    return figure("Learners", table(head, rows, caption="Learners, means over seeds"), size="wide")


def _curves(logs: Mapping[str, Sequence[dict[str, Any]]]) -> Section:
    charts = []
    for learner, log in logs.items():
        points = [(float(r["epoch"]) + 1, float(sum(r["losses"].values()))) for r in log]
        ends = (points[0][0], points[-1][0]) if points else (0.0, 1.0)
        chart = lines([Line("loss", points)], title=f"Loss of {learner}", x_name="epoch", x_range=ends)
        charts.append(figure(learner, chart))
    return Section(
        "curves",
        "Losses",
        join([paragraph("Losses of different learners are not comparable."), grid(charts, even=True)]),
    )


def _classes(means: pd.DataFrame) -> Html:
    columns = [c for c in means if str(c).startswith(_PREFIX) and not str(c).endswith(" spread")]
    head = ["Class", *(number(name) for name in means.index)]
    rows = [[str(c).removeprefix(_PREFIX), *(_cell(means, str(m), str(c)) for m in means.index)] for c in columns]
    return figure("Accuracy per class", table(head, rows, caption="Accuracy per class, means over seeds"), size="wide")


def _runs(runs: pd.DataFrame) -> Html:
    shown = [n for n in ("accuracy", "approximated_accuracy") if n in runs]
    head = ["Learner", number("Seed"), *(number(n.replace("_", " ").capitalize()) for n in shown), "Alarms", "Views"]
    rows = []
    for _, run in runs.iterrows():
        views = run.get("views")
        cells = (number(percent(float(run[n]))) for n in shown)
        rows.append(
            [
                run["learner"],
                number(int(run["seed"])),
                *cells,
                run["alarms"] or "–",
                views if isinstance(views, str) else "–",
            ]
        )
    return figure("Every run", table(head, rows, caption="Every run"), size="wide")
