"""Small pieces of HTML, escaped by default: only `Html` passes through unescaped."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from zerolabel.report.formats import Real

TOP = 20


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


@dataclass(frozen=True)
class Section:
    """A part of the page: an anchor, a heading and what is under it."""

    anchor: str
    title: str
    body: Html


def text(value: object) -> Html:
    """Escape a value, unless it is markup already."""
    return value if isinstance(value, Html) else Html(escape(str(value)))


def html(template: str, /, **values: object) -> Html:
    """Fill a literal template with escaped values."""
    return Html(template.format(**{name: text(value) for name, value in values.items()}))


def join(parts: Iterable[object], separator: str = "") -> Html:
    """Escaped parts, one after the other."""
    return Html(separator.join(text(part) for part in parts))


def table(head: Sequence[object], rows: Iterable[Sequence[object]], *, caption: str, kind: str = "") -> Html:
    """A table that scrolls sideways where it must; the first column holds the row headings.

    Args:
        head: column headings; those of columns of numbers come as `number` makes them.
        rows: cells, raw values or markup.
        caption: what the table shows, in a few words.
        kind: class names for the style sheet.
    """
    headings = join(_cell(cell, "th", ' scope="col"') for cell in head)
    body = join(
        html(
            "<tr>{first}{rest}</tr>", first=_cell(first, "th", ' scope="row"'), rest=join(_cell(c, "td") for c in rest)
        )
        for first, *rest in rows
    )
    return html(
        '<div class="scroll" tabindex="0" role="region" aria-label="{caption}"><table class="{kind}">'
        "<caption>{caption}</caption><thead><tr>{headings}</tr></thead><tbody>{body}</tbody></table></div>",
        kind=kind,
        caption=caption,
        headings=headings,
        body=body,
    )


def number(value: object) -> "Number":
    """A cell that is aligned as numbers are."""
    return Number(text(value))


class Number(Html):
    """A cell of a column of numbers."""

    __slots__ = ()


def _cell(value: object, tag: str, attributes: str = "") -> Html:
    style = ' class="n"' if isinstance(value, Number) else ""
    return Html(f"<{tag}{attributes}{style}>{text(value)}</{tag}>")


def top_table(
    head: Sequence[object], rows: Sequence[Sequence[object]], *, caption: str, kind: str = "", top: int = TOP
) -> Html:
    """A table of the first `top` rows, the others folded away."""
    shown = table(head, rows[:top], caption=caption, kind=kind)
    if len(rows) <= top:
        return shown
    rest = table(head, rows[top:], caption=f"{caption}, continued", kind=kind)
    return join([shown, details(f"{len(rows) - top:,} more", rest)])


def details(summary: str, body: Html) -> Html:
    """Something folded away."""
    return html("<details><summary>{summary}</summary>{body}</details>", summary=summary, body=body)


def figure(title: str, body: Html, note: object = "", *, size: str = "") -> Html:
    """A chart or table with a title above and a remark below.

    Args:
        title: what it shows.
        body: the chart or table.
        note: the remark.
        size: ``wide`` for the whole width of a grid, ``narrow`` for a small table that stands alone.
    """
    remark = html('<p class="note">{note}</p>', note=note) if note else ""
    return html(
        '<figure class="card {size}"><figcaption>{title}</figcaption>{body}{remark}</figure>',
        size=size,
        title=title,
        body=body,
        remark=remark,
    )


def grid(figures: Iterable[Html], *, even: bool = False) -> Html:
    """Figures side by side where the page is wide enough.

    Args:
        figures: the figures.
        even: whether they keep one size, so that a last row need not be full.
    """
    return html('<div class="grid{kind}">{figures}</div>', kind=" even" if even else "", figures=join(figures))


def tiles(facts: Iterable[tuple[str, str, str, str]]) -> Html:
    """Large numbers: tone (a class of the style sheet), value, what it is, remark."""
    return html(
        '<dl class="tiles">{tiles}</dl>',
        tiles=join(
            html(
                '<div class="tile {tone}"><dt>{name}</dt><dd><b>{value}</b><small>{remark}</small></dd></div>',
                tone=tone,
                name=name,
                value=value,
                remark=remark,
            )
            for tone, value, name, remark in facts
        ),
    )


def paragraph(value: object, kind: str = "") -> Html:
    """A paragraph."""
    return (
        html('<p class="{kind}">{value}</p>', kind=kind, value=value) if kind else html("<p>{value}</p>", value=value)
    )


def bullets(lines: Iterable[object]) -> Html:
    """A list."""
    return html("<ul>{items}</ul>", items=join(html("<li>{line}</li>", line=line) for line in lines))


def code(value: str) -> Html:
    """A block of code."""
    return html('<pre tabindex="0"><code>{value}</code></pre>', value=value)


def bar(share: Real, tone: str, label: object) -> Html:
    """A number and a bar beside it, for a cell of a table.

    Args:
        share: length of the bar, in [0, 1].
        tone: ``student`` or ``zero``.
        label: the number, as text.
    """
    length = 100 * min(max(share, 0.0), 1.0)
    return Html(f'<span class="bar {tone}"><span>{text(label)}</span><i style="--share:{length:.1f}%"></i></span>')


def dots(zero_shot: Real | None, student: Real) -> Html:
    """Two shares in [0, 1] as marks on one line; the cell beside it holds the numbers."""
    if zero_shot is None:
        return Html(
            f'<span class="dots" aria-hidden="true"><i class="student" style="left:{100 * student:.1f}%"></i></span>'
        )
    low, high = sorted((zero_shot, student))
    return Html(
        '<span class="dots" aria-hidden="true">'
        f'<u style="left:{100 * low:.1f}%;width:{100 * (high - low):.1f}%"></u>'
        f'<i class="zero" style="left:{100 * zero_shot:.1f}%"></i>'
        f'<i class="student" style="left:{100 * student:.1f}%"></i></span>'
    )
