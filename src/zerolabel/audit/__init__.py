"""Estimates from a few human answers: accuracy, comparison, choice of a model, and which images to ask about."""

from zerolabel.audit.accuracy import Interval, interval
from zerolabel.audit.anytime import anytime
from zerolabel.audit.front import Audit
from zerolabel.audit.quality import Guarantee, guarantee
from zerolabel.audit.strata import Counts, count, draw, stratify
from zerolabel.audit.versus import Verdict, draw_differing, verdict

__all__ = [
    "Audit",
    "Counts",
    "Guarantee",
    "Interval",
    "Verdict",
    "anytime",
    "count",
    "draw",
    "draw_differing",
    "guarantee",
    "interval",
    "stratify",
    "verdict",
]
