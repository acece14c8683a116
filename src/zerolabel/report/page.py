"""One HTML page that opens from disk: its head, its style and its sections."""

from collections.abc import Iterable
from importlib.resources import files

from zerolabel.report.markup import Html, Section, html, join

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<header><p class="brand">zerolabel {brand}</p><h1>{title}</h1><p class="lead">{lead}</p></header>
<nav aria-label="Sections"><div>{links}</div></nav>
<main>{sections}</main>
<footer><p>Made by zerolabel {maker}. This page needs no network and sends nothing.</p></footer>
</body>
</html>
"""


def page(title: str, lead: str, sections: Iterable[Section], *, brand: str, maker: str) -> Html:
    """Put a page together.

    Args:
        title: its heading.
        lead: the sentences under it.
        sections: in the order of the page.
        brand: what kind of page it is, a word.
        maker: version of this package and, where it is known, the day.
    """
    made = list(sections)
    return html(
        _PAGE,
        title=title,
        style=Html(files(__package__).joinpath("style.css").read_text(encoding="utf-8")),
        brand=brand,
        lead=lead,
        links=join(html('<a href="#{anchor}">{title}</a>', anchor=s.anchor, title=s.title) for s in made),
        sections=join(map(_section, made)),
        maker=maker,
    )


def _section(section: Section) -> Html:
    return html(
        '<section id="{anchor}"><h2>{title}</h2>{body}</section>',
        anchor=section.anchor,
        title=section.title,
        body=section.body,
    )
