"""Limits of the classifier."""

from zerolabel.report.markup import Section, bullets
from zerolabel.report.run import Run
from zerolabel.report.statement import limits


def section(run: Run) -> Section:
    """The limits, as a list."""
    return Section("limits", "Limits", bullets(limits(run)))
