"""Several learners on the same images and annotations: a run per learner and seed, each in a folder of its own.

A row may also be the annotating model itself, adapted by a method: `ADAPT` before its name.

All runs share student, size, epochs, batch size, learning rate and pixels, which are decoded once. Each learner draws
the views that it declares, since what a learner does with a strong view is part of it; the table says which they are.
A finished run is never done again, and one that was killed continues after its last whole epoch.
"""

from zerolabel.experiments.plan import ADAPT, Comparison, compare_plan
from zerolabel.experiments.results import ANNOTATOR, ordered_by, read_choice, save, shown, summary, table, write_page
from zerolabel.experiments.runs import run_all, run_folder

__all__ = [
    "ADAPT",
    "ANNOTATOR",
    "Comparison",
    "compare_plan",
    "ordered_by",
    "read_choice",
    "run_all",
    "run_folder",
    "save",
    "shown",
    "summary",
    "table",
    "write_page",
]
