"""The report of a run as one HTML file, and its model card."""

from pathlib import Path

from zerolabel.files import write_text
from zerolabel.report.card import model_card
from zerolabel.report.formats import plural
from zerolabel.report.inspected import build_inspection
from zerolabel.report.page import page
from zerolabel.report.run import Run
from zerolabel.report.sections import SECTIONS
from zerolabel.report.statement import n_images, request


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
    created = str(loaded.config.get("created", ""))
    return page(
        f"{plural(len(loaded.classes), 'class', 'classes')} from {plural(n_images(loaded), 'unlabeled image')}",
        request(loaded),
        [section for section in made if section is not None],
        brand="report",
        maker=f"{loaded.config.get('zerolabel', '')}{f' on {created[:10]}' if created else ''}",
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


__all__ = ["build", "build_inspection", "model_card", "write"]
