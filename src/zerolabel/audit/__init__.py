"""What a few answers of a person say: how good, which is better, which is best, and what to ask."""

from zerolabel.audit.accuracy import Interval, interval
from zerolabel.audit.anytime import anytime
from zerolabel.audit.strata import Counts, count, draw, stratify

__all__ = ["Counts", "Interval", "anytime", "count", "draw", "interval", "stratify"]
