"""Matrices as tables whose cells are shaded: readable by eye, by keyboard and by a screen reader."""

import math
from collections.abc import Sequence

from zerolabel.report.formats import Real
from zerolabel.report.markup import Html, html, join


def heat_table(
    values: Sequence[Sequence[Real]],
    labels: Sequence[Sequence[str]],
    *,
    rows: Sequence[object],
    columns: Sequence[object],
    corner: str,
    caption: str,
    low: Real = 0.0,
    high: Real | None = None,
    diagonal: bool = False,
) -> Html:
    """A shaded table.

    Args:
        values: R x K numbers that set the shades; NaN stays unshaded.
        labels: R x K texts of the cells.
        rows: R headings.
        columns: K headings.
        corner: what rows and columns are.
        caption: what the table shows.
        low: the value of the lightest shade.
        high: the value of the darkest shade; the greatest value where none is given.
        diagonal: whether the diagonal has a shade of its own.
    """
    finite = [value for row in values for value in row if math.isfinite(value)]
    top = high if high is not None else max(finite, default=1.0)
    span = (top - low) or 1.0
    head = join(html('<th scope="col">{name}</th>', name=name) for name in columns)
    body = []
    for i, (name, line, texts) in enumerate(zip(rows, values, labels, strict=True)):
        cells = join(
            _cell(value, label, low, span, "own" if diagonal and i == j else "")
            for j, (value, label) in enumerate(zip(line, texts, strict=True))
        )
        body.append(html('<tr><th scope="row" title="{name}">{name}</th>{cells}</tr>', name=name, cells=cells))
    return html(
        '<div class="scroll" tabindex="0" role="region" aria-label="{caption}"><table '
        'class="heat"><caption>{caption}</caption>'
        '<thead><tr><th scope="col" class="corner">{corner}</th>{head}</tr></thead><tbody>{body}</tbody></table></div>',
        caption=caption,
        corner=corner,
        head=head,
        body=join(body),
    )


def _cell(value: Real, label: str, low: Real, span: Real, kind: str) -> Html:
    if not math.isfinite(value):
        return html("<td>{label}</td>", label=label)
    shade = min(max((value - low) / span, 0.0), 1.0)
    strong = " strong" if shade > 0.82 else ""
    return html(
        f'<td class="{kind}{strong}" style="--shade:{100 * shade:.0f}%">{{label}}</td>',
        label=label,
    )
