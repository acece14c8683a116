"""The parts of the report, in the order of the page."""

from zerolabel.report.sections import (
    artifact,
    audit,
    candidates,
    changes,
    cost,
    headline,
    limits,
    predictions,
    request,
    training,
    truth,
)

SECTIONS = (
    headline.section,
    audit.section,
    request.section,
    changes.section,
    truth.section,
    predictions.section,
    candidates.section,
    training.section,
    artifact.section,
    cost.section,
    cost.skipped,
    limits.section,
)
