"""The report of a run as one HTML file, and its model card."""

from importlib.resources import files
from pathlib import Path

from zerolabel.report.card import model_card
from zerolabel.report.formats import plural
from zerolabel.report.markup import Html, Section, html, join
from zerolabel.report.run import Run
from zerolabel.report.sections import SECTIONS
from zerolabel.report.statement import n_images, request
from zerolabel.runs import write_text

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
<header><p class="brand">zerolabel report</p><h1>{title}</h1><p class="lead">{request}</p></header>
<nav aria-label="Sections"><div>{links}</div></nav>
<main>{sections}</main>
<footer><p>Made by zerolabel {version}{created}. This page needs no network and sends nothing.</p></footer>
</body>
</html>
"""


def build(run: Path) -> str:
    """Make the report of a run: one HTML page that opens from disk.

    Args:
        run: the run's folder; what is missing in it is left out of the page.

    Returns:
        the page, with its style and pictures inside.

    Raises:
        InputError: the folder holds no run, or a file in it is damaged.
    """
    loaded = Run.load(run)
    made = [section(loaded) for section in SECTIONS]
    sections = [section for section in made if section is not None]
    created = str(loaded.config.get("created", ""))
    return html(
        _PAGE,
        title=f"{plural(len(loaded.classes), 'class', 'classes')} from {plural(n_images(loaded), 'unlabelled image')}",
        style=_style(),
        request=request(loaded),
        links=join(html('<a href="#{anchor}">{title}</a>', anchor=s.anchor, title=s.title) for s in sections),
        sections=join(map(_section, sections)),
        version=loaded.config.get("zerolabel", ""),
        created=f" on {created[:10]}" if created else "",
    )


def write(run: Path) -> tuple[Path, Path]:
    """Write ``report.html`` and the model card ``README.md`` into a run's folder.

    Raises:
        InputError: as `build`.
    """
    pages = (run / "report.html", build(run)), (run / "README.md", model_card(run))
    for path, text in pages:
        write_text(path, text)
    return run / "report.html", run / "README.md"


def _style() -> Html:
    return Html(files(__package__).joinpath("style.css").read_text(encoding="utf-8"))


def _section(section: Section) -> Html:
    return html(
        '<section id="{anchor}"><h2>{title}</h2>{body}</section>',
        anchor=section.anchor,
        title=section.title,
        body=section.body,
    )


__all__ = ["build", "model_card", "write"]
