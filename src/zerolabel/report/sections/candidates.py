"""Votes, candidate sets, agreement of the annotators, and their estimated accuracy."""

import math
from dataclasses import replace

from zerolabel.annotations import Annotations, names_of
from zerolabel.diagnostics.inspection import Inspection, inspect
from zerolabel.report.formats import percent, plural
from zerolabel.report.markup import Section, join, paragraph
from zerolabel.report.panels import panels
from zerolabel.report.run import Run
from zerolabel.report.statement import rule


def section(run: Run) -> Section | None:
    """Statistics per template and per class."""
    annotations = run.annotations
    if annotations is None or not len(annotations):
        return None
    inspection = inspect(annotations)
    if run.has_truth:
        true = run.metrics.get("candidate_coverage")
        inspection = replace(inspection, coverage=replace(inspection.coverage, true=true))
    body = join([paragraph(summary(annotations, rule(run))), panels(inspection, _accuracy(run, inspection))])
    return Section("candidates", "Candidates", body)


def summary(annotations: Annotations, rule: str) -> str:
    """Size of the candidate sets, as text.

    Args:
        annotations: of at least one image.
        rule: how the sets were formed, in words.
    """
    sizes = annotations.candidates.sum(1)
    n = len(annotations)
    one, none = int((sizes == 1).sum()), int((sizes == 0).sum())
    unvoted = (
        "every image has at least one" if not none else f"{plural(none, 'image')} got none because no prompt voted"
    )
    text = (
        f"Rule: {rule}. An image has {sizes.float().mean():.2f} candidates on average; {percent(one / n)} of the "
        f"images have exactly one, and {unvoted}."
    )
    human = int(annotations.human.sum())
    return text + (f" Images with a human label: {human:,}." if human else "")


def _accuracy(run: Run, inspection: Inspection) -> list[float] | None:
    """Of each annotator, where truth was given."""
    found = run.metrics.get("zero_shot_accuracy_per_template") if run.has_truth else None
    return [found.get(name, math.nan) for name in names_of(inspection.annotators)] if found else None
