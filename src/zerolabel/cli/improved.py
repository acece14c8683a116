"""Rounds of an improvement in the terminal."""

from collections.abc import Sequence

from rich.table import Table

from zerolabel.runs.improvement import Round


def in_words(one: Round) -> str:
    """Accuracy of a round with its interval."""
    labels = f"{one.labels} labels learned, {one.deployed} deployed"
    if one.low is None or one.high is None:
        return f"{labels}, accuracy not measured"
    share = "" if one.accuracy is None else f"{one.accuracy:.1%} right, "
    return f"{labels}, {share}95% interval {one.low:.1%} to {one.high:.1%}"


def table(rounds: Sequence[Round], best: Round) -> Table:
    """A row per round; the best one is marked."""
    shown = Table("round", "labels", "accuracy", "95% interval", "deployed", "than the best before", "folder")
    words = {"newer": "better", "older": "worse", "neither": "as good"}
    for one in rounds:
        share = "" if one.accuracy is None else f"{one.accuracy:.1%}"
        ends = "" if one.low is None or one.high is None else f"{one.low:.1%} to {one.high:.1%}"
        outcome = words.get(one.better or "", "not decided" if one.number else "")
        name = f"{one.number} (best)" if one.number == best.number else str(one.number)
        shown.add_row(name, str(one.labels), share, ends, one.deployed, outcome, one.folder)
    return shown
