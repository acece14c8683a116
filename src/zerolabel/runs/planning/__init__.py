"""From what a user asked to a complete configuration: one file per part of it."""

from zerolabel.runs.planning.learner import fit_to_epochs
from zerolabel.runs.planning.plan import draft, needs_check, plan
from zerolabel.runs.planning.size import SIZES, choose_size

__all__ = ["SIZES", "choose_size", "draft", "fit_to_epochs", "needs_check", "plan"]
