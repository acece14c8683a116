"""Curves of the training."""

from collections.abc import Iterable

from zerolabel.report.charts import Line, lines
from zerolabel.report.markup import Html, Section, figure, grid, html, join, paragraph
from zerolabel.report.run import Run

_TONES = ("student", "zero", "plain")
_NAMES = {
    "partial": "Images that keep their candidates",
    "agreement": "Agreement of the two networks",
}
_SIDES = {"a": "network A", "b": "network B"}


def section(run: Run) -> Section | None:
    """Loss terms, the learner's own figures and the speed, over the epochs."""
    if not run.log:
        return None
    parts = [
        paragraph(
            "None of these numbers reads a true label. Each loss is shown as it enters the sum that is minimized."
        ),
        *_alarms(run),
        _losses(run),
    ]
    figures = _figures(run)
    if figures:
        parts += [html("<h3>Splits and other figures</h3>"), figures]
    parts += [html("<h3>Pace</h3>"), _pace(run)]
    return Section("training", "Training", join(parts))


def _alarms(run: Run) -> list[Html]:
    """Alarms raised during training, each kind once."""
    first: dict[str, str] = {}
    for record in run.log:
        for kind, text in (record.get("alarms") or {}).items():
            first.setdefault(str(kind), f"After epoch {record['epoch'] + 1} {text}")
    return [paragraph(" ".join(first.values()))] if first else []


def _losses(run: Run) -> Html:
    names = _keys(record.get("losses", {}) for record in run.log)
    charts = [_chart(run, _words(name), [(_words(name), "losses", name)]) for name in names]
    return grid(charts, even=True)


def _figures(run: Run) -> Html:
    """Figures named ``x_a`` and ``x_b`` belong to two networks and share a chart."""
    names = _keys(record.get("figures", {}) for record in run.log)
    groups: dict[str, list[tuple[str, str, str]]] = {}
    for name in names:
        stem, _, side = name.rpartition("_")
        paired = side in _SIDES and f"{stem}_{'b' if side == 'a' else 'a'}" in names
        title = stem if paired else name
        groups.setdefault(title, []).append((_SIDES[side] if paired else _words(name), "figures", name))
    return (
        grid([_chart(run, _words(title), series) for title, series in groups.items()], even=True)
        if groups
        else Html("")
    )


def _pace(run: Run) -> Html:
    kept = (
        ("learning_rate", "Learning rate"),
        ("images_per_second", "Images per second"),
        ("seconds", "Seconds per epoch"),
    )
    here = [(key, title) for key, title in kept if any(record.get(key) is not None for record in run.log)]
    return grid([_chart(run, title, [(title, "", key)], from_zero=True) for key, title in here], even=True)


def _chart(run: Run, title: str, series: list[tuple[str, str, str]], *, from_zero: bool = False) -> Html:
    curves = []
    for i, (name, group, key) in enumerate(series):
        records = ((record, record.get(group, {}) if group else record) for record in run.log)
        points = [
            (float(record["epoch"]) + 1, float(values[key]))
            for record, values in records
            if values.get(key) is not None
        ]
        curves.append(Line(name, points, _TONES[i % len(_TONES)]))
    ends = (float(run.log[0]["epoch"]) + 1, float(run.log[-1]["epoch"]) + 1)
    chart = lines(curves, title=f"{title} over the epochs", x_name="epoch", x_range=ends, from_zero=from_zero)
    return figure(title, chart)


def _keys(records: Iterable[dict[str, float]]) -> list[str]:
    return list(dict.fromkeys(key for record in records for key in record))


def _words(name: str) -> str:
    return name.replace("_", " ").capitalize()
