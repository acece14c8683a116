"""Charts as inline SVG: pure functions of numbers. Colors come from the page's style sheet."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from zerolabel.errors.printable import cut
from zerolabel.report.formats import Real, short
from zerolabel.report.markup import Html, html, join

WIDTH, HEIGHT = 360, 190
LEFT, RIGHT, TOP, BOTTOM = 46, 14, 12, 34
LETTER = 6.5
"""Width of a letter below an axis, about."""


@dataclass(frozen=True)
class Line:
    """One curve: its name, its points and its tone (a class of the style sheet)."""

    name: str
    points: Sequence[tuple[Real, Real]]
    tone: str = "student"


@dataclass(frozen=True)
class Axes:
    """Linear axes: from data to the picture's units.

    Attributes:
        x: least and greatest value at the left and right edge.
        y: the same for bottom and top.
    """

    x: tuple[Real, Real]
    y: tuple[Real, Real]

    def at(self, x: Real, y: Real) -> tuple[float, float]:
        """Place of a point in the picture."""
        return (
            LEFT + (x - self.x[0]) / (self.x[1] - self.x[0]) * (WIDTH - LEFT - RIGHT),
            HEIGHT - BOTTOM - (y - self.y[0]) / (self.y[1] - self.y[0]) * (HEIGHT - TOP - BOTTOM),
        )


def ticks(low: Real, high: Real, most: int = 5) -> list[float]:
    """Round numbers that span an interval, at most `most` + 1 steps apart by 1, 2, 2.5 or 5 times a power of ten.

    Args:
        low: least value to span.
        high: greatest value to span; where it is not above `low`, an interval of length one is taken.
        most: number of steps wanted at most.
    """
    if not high > low:
        low, high = low - 0.5, low + 0.5
    raw = (high - low) / most
    power = 10 ** math.floor(math.log10(raw))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= raw * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(round(i * step, 12)) for i in range(first, last + 1)]


def lines(
    series: Sequence[Line],
    *,
    title: str,
    x_name: str,
    x_range: tuple[Real, Real],
    from_zero: bool = False,
    names: Sequence[str] = (),
) -> Html:
    """Curves over a common x.

    Args:
        series: the curves; values that are not finite are left out.
        title: what the picture shows, for screen readers.
        x_name: name of the x axis, which has ticks at whole numbers.
        x_range: its two ends, so that neighboring pictures share it.
        from_zero: whether the y axis starts at zero.
        names: of the categories at 1, 2, ... that stand on the x axis in place of numbers; none for numbers.
    """
    kept = [Line(s.name, [p for p in s.points if math.isfinite(p[1])], s.tone) for s in series]
    points = [point for s in kept for point in s.points]
    if not points:
        return Html("")
    ys = [y for _, y in points]
    y_ticks = ticks(min([0.0, *ys] if from_zero else ys), max(ys), 4)
    left, right = x_range if x_range[1] > x_range[0] else (x_range[0] - 0.5, x_range[0] + 0.5)
    x_ticks = [x for x in ticks(left, right) if x.is_integer() and left <= x <= right]
    axes = Axes((left, right), (y_ticks[0], y_ticks[-1]))
    below = _categories(axes, names, x_name) if names else _x_axis(axes, x_ticks, x_name)
    body = join([_y_axis(axes, y_ticks), below, *(_curve(axes, s) for s in kept)])
    return join([_svg(title, body), _legend(kept) if len(kept) > 1 else ""])


def histogram(
    series: Sequence[tuple[str, Sequence[int], str]], *, low: Real, high: Real, title: str, x_name: str
) -> Html:
    """Outlined counts in equal bins from `low` to `high`.

    Args:
        series: name, counts and tone of each.
        low: left edge of the first bin.
        high: right edge of the last bin.
        title: what the picture shows, for screen readers.
        x_name: name of the x axis.
    """
    y_ticks = ticks(0, max(max(counts) for _, counts, _ in series) or 1, 4)
    axes = Axes((low, high), (0, y_ticks[-1]))
    shapes = join(_steps(axes, name, counts, tone) for name, counts, tone in series)
    body = join([_y_axis(axes, y_ticks), _x_axis(axes, ticks(low, high), x_name), shapes])
    legend = _legend([Line(name, [], tone) for name, _, tone in series])
    return join([_svg(title, body), legend])


def bars(values: Sequence[int], names: Sequence[str], *, title: str, x_name: str, tone: str = "plain") -> Html:
    """Upright bars with their values above them."""
    y_ticks = ticks(0, max(values) or 1, 4)
    axes = Axes((0, len(values)), (0, y_ticks[-1] * 1.08))
    shapes = []
    for i, (value, name) in enumerate(zip(values, names, strict=True)):
        x, y = axes.at(i + 0.5, value)
        half = min((WIDTH - LEFT - RIGHT) / len(values) * 0.4, 24)
        base = axes.at(0, 0)[1]
        left, width, height = x - half, 2 * half, base - y
        shapes.append(
            html(
                f'<rect class="fill {tone}" x="{left:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" '
                'rx="2">'
                f'<title>{{name}}: {value:,}</title></rect><text class="value" x="{x:.1f}" '
                f'y="{y - 4:.1f}">{value:,}</text>'
                f'<text class="x" x="{x:.1f}" y="{base + 14:.1f}">{{name}}</text>',
                name=name,
            )
        )
    middle = (LEFT + WIDTH - RIGHT) / 2
    label = html(f'<text class="x" x="{middle}" y="{HEIGHT - 4}">{{name}}</text>', name=x_name)
    return _svg(title, join([_y_axis(axes, y_ticks), *shapes, label]))


def stacked(parts: Sequence[tuple[str, Real]], *, title: str) -> Html:
    """Shares of a whole as one bar."""
    total, x, shapes = sum(value for _, value in parts) or 1.0, 0.0, []
    for i, (name, value) in enumerate(parts):
        width = 1000 * value / total
        label = html("<title>{name}: {share}</title>", name=name, share=f"{100 * value / total:.0f}%")
        shapes.append(
            Html(
                f'<rect class="part p{i % 6}" x="{x:.1f}" y="0" width="{max(width, 0.5):.1f}" '
                f'height="26">{label}</rect>'
            )
        )
        x += width
    return html(
        (
            '<svg class="stacked" viewBox="0 0 1000 26" preserveAspectRatio="none" role="img" '
            'aria-label="{title}">{parts}</svg>'
        ),
        title=title,
        parts=join(shapes),
    )


def _svg(title: str, body: Html) -> Html:
    return html(
        '<svg class="chart" viewBox="0 0 {w} {h}" role="img" aria-label="{title}"><title>{title}</title>{body}</svg>',
        w=WIDTH,
        h=HEIGHT,
        title=title,
        body=body,
    )


def _y_axis(axes: Axes, values: Sequence[Real]) -> Html:
    parts, step = [], min((b - a for a, b in pairwise(values)), default=1.0)
    digits = next((d for d in range(7) if abs(step * 10**d - round(step * 10**d)) < 1e-6), 7)
    for value in values:
        _, y = axes.at(axes.x[0], value)
        parts.append(f'<line class="rule" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(
            f'<text class="y" x="{LEFT - 6}" y="{y + 4:.1f}">'
            f"{f'{value:,.{digits}f}' if digits else short(value)}</text>"
        )
    return Html("".join(parts))


def _x_axis(axes: Axes, values: Sequence[Real], name: str) -> Html:
    base = HEIGHT - BOTTOM
    labels = "".join(
        f'<text class="x" x="{axes.at(value, axes.y[0])[0]:.1f}" y="{base + 14}">{short(value)}</text>'
        for value in values
    )
    middle = (LEFT + WIDTH - RIGHT) / 2
    return html(f'{labels}<text class="x" x="{middle}" y="{HEIGHT - 4}">{{name}}</text>', name=name)


def _categories(axes: Axes, names: Sequence[str], name: str) -> Html:
    """Names below the axis, each cut to the room that it has; all of it shows when it is pointed at."""
    base, room = HEIGHT - BOTTOM, int((WIDTH - LEFT - RIGHT) / max(len(names) - 1, 1) / LETTER)
    labels = join(
        html(
            f'<text class="x" x="{axes.at(place, axes.y[0])[0]:.1f}" y="{base + 14}">{{shown}}'
            "<title>{name}</title></text>",
            shown=cut(name, max(room, 2)),
            name=name,
        )
        for place, name in enumerate(names, 1)
    )
    middle = (LEFT + WIDTH - RIGHT) / 2
    return html(f'{{labels}}<text class="x" x="{middle}" y="{HEIGHT - 4}">{{name}}</text>', labels=labels, name=name)


def _curve(axes: Axes, line: Line) -> Html:
    places = [axes.at(x, y) for x, y in line.points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    seen = "" if len(places) == 1 else ' opacity="0"'
    marks = join(
        html(
            (
                f'<circle class="mark {line.tone}" cx="{x:.1f}" cy="{y:.1f}" r="4"{seen}><title>{{name}}, '
                f"{short(a)}: {short(b)}</title></circle>"
            ),
            name=line.name,
        )
        for (x, y), (a, b) in zip(places, line.points, strict=True)
        if len(places) <= 100
    )
    return join([Html(f'<polyline class="line {line.tone}" points="{path}"/>'), marks])


def _steps(axes: Axes, name: str, counts: Sequence[int], tone: str) -> Html:
    width = (axes.x[1] - axes.x[0]) / len(counts)
    places = [axes.at(axes.x[0], 0)]
    for i, value in enumerate(counts):
        left = axes.x[0] + i * width
        places += [axes.at(left, value), axes.at(left + width, value)]
    places.append(axes.at(axes.x[1], 0))
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    return html(f'<polygon class="area {tone}" points="{path}"><title>{{name}}</title></polygon>', name=name)


def _legend(series: Sequence[Line]) -> Html:
    keys = join(html('<span class="key {tone}">{name}</span>', tone=s.tone, name=s.name) for s in series)
    return html('<p class="legend">{keys}</p>', keys=keys)
