"""The page of an improvement: accuracy against the number of labels, and a row per round."""

from collections.abc import Mapping, Sequence
from typing import Any

from zerolabel.report.charts import Line, lines
from zerolabel.report.formats import percent, plural
from zerolabel.report.markup import Html, Section, figure, html, join, number, paragraph, table
from zerolabel.report.page import page
from zerolabel.version import __version__

_OUTCOME = {
    "newer": "better than the best before",
    "older": "worse than the best before",
    "neither": "as good as the best before",
}


def build_improvement(record: Mapping[str, Any]) -> str:
    """One HTML page of the rounds in ``improve.json``.

    Args:
        record: number of the best round, planned numbers of answers, and the rounds.
    """
    rounds: Sequence[dict[str, Any]] = record["rounds"]
    best = next(one for one in rounds if one["number"] == record["best"])
    lead = f"The best so far is {_name(best)}: {_measured(best)}."
    parts = [paragraph(_design(record)), _chart(rounds), _rounds(rounds, record["best"])]
    body = join(part for part in parts if part)
    return page(
        f"{plural(len(rounds) - 1, 'round')} of answers and training", lead, [Section("rounds", "Rounds", body)],
        brand="improvement", maker=__version__,
    )  # fmt: skip


def _name(one: Mapping[str, Any]) -> str:
    return f"round {one['number']}" if one["number"] else "the first run"


def _measured(one: Mapping[str, Any]) -> str:
    if one["accuracy"] is None:
        return "its accuracy is not measured"
    ends = f"95% interval: {100 * one['low']:.1f} to {100 * one['high']:.1f}%"
    return f"{percent(one['accuracy'])} of its answers are right ({ends})"


def _design(record: Mapping[str, Any]) -> str:
    plan = record["plan"]
    return (
        f"{plan['check']} images were drawn at random before the first round; they measure every round, and no round "
        f"learns their labels. {plan['teach']} images a round were chosen to teach. Images on which two rounds differ "
        "decide which of the two is better."
    )


def _chart(rounds: Sequence[Mapping[str, Any]]) -> Html:
    known = [one for one in rounds if one["accuracy"] is not None]
    if len(known) < 2:
        return Html("")

    def curve(name: str, key: str, tone: str) -> Line:
        return Line(name, [(float(one["labels"]), 100 * float(one[key])) for one in known], tone)

    ends = (float(known[0]["labels"]), float(max(one["labels"] for one in known)))
    drawn = [
        curve("measured accuracy", "accuracy", "student"),
        curve("upper end of the interval", "high", "zero"),
        curve("lower end", "low", "zero"),
    ]
    chart = lines(drawn, title="Accuracy by the number of labels", x_name="labels that were learned", x_range=ends)
    return figure("Accuracy in percent", chart)


def _rounds(rounds: Sequence[Mapping[str, Any]], best: int) -> Html:
    head = ["Round", number("Labels"), number("Accuracy"), number("95% interval"), "Deployed", "Outcome", "Folder"]
    rows = []
    for one in rounds:
        ends = "–" if one["low"] is None else f"{100 * one['low']:.1f} to {100 * one['high']:.1f}%"
        share = "–" if one["accuracy"] is None else percent(one["accuracy"])
        outcome = _OUTCOME.get(one["better"] or "", "not decided" if one["number"] else "–")
        name = html("<b>{name}, best</b>", name=_name(one)) if one["number"] == best else _name(one)
        cells = (number(one["labels"]), number(share), number(ends), one["deployed"], outcome, one["folder"])
        rows.append([name, *cells])
    return figure("Every round", table(head, rows, caption="Every round"), size="wide")
