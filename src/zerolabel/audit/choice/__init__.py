"""Active model selection: designs that choose which images to ask about, behind one interface.

A design has two functions. ``ask(models, queries, random)`` returns the next image and the probability of its draw;
``estimate(models, queries)`` returns a score of each model, the largest of which wins. The queried images are not a
random sample of the pool, so the accuracy of the chosen model needs answers of its own.
"""

from types import ModuleType

import numpy as np
from jaxtyping import Int

from zerolabel.audit.choice import at_random, coda, model_picker, weighted
from zerolabel.audit.choice.queries import NONE, Models, Queries
from zerolabel.errors import InputError, nearest

DESIGNS: dict[str, ModuleType] = {
    "model_picker": model_picker,
    "weighted": weighted,
    "coda": coda,
    "random": at_random,
}
"""By name."""
DEFAULT = "model_picker"
"""The design with the smallest regret after 50 answers."""
TITLES = {
    "model_picker": "Model Picker",
    "weighted": "importance-weighted",
    "coda": "CODA",
    "random": "random",
}
REGRETS = {10: 0.0125, 20: 0.0067, 35: 0.0048, 50: 0.0028}
"""Accuracy that the default costs after so many answers: the best model's less that of the one it puts first, mean over
the sets of images in ``benchmarks/results/audits.json``."""

__all__ = ["DEFAULT", "DESIGNS", "NONE", "REGRETS", "TITLES", "Models", "Queries", "ask", "claim", "ranking"]


def claim(n: int) -> str:
    """A sentence with the measured mean regret of a choice by n answers; empty for fewer answers than were measured."""
    known = [budget for budget in REGRETS if budget <= n]
    if not known:
        return ""
    return (
        f"In this project’s benchmarks the model that {known[-1]} such answers put first is "
        f"{100 * REGRETS[known[-1]]:.1f} points below the best one on average."
    )


def _design(name: str) -> ModuleType:
    if name not in DESIGNS:
        raise InputError(f"there is no design '{name}'{nearest(name, DESIGNS)}")
    return DESIGNS[name]


def ask(
    models: Models, queries: Queries, random: np.random.Generator, *, design: str = DEFAULT
) -> tuple[int, float] | None:
    """Image to ask next and the chance of its draw, for `Queries.with_answer`; None if no image can tell more.

    Raises:
        InputError: there is no such design.
    """
    used = _design(design)
    pool = models.scores.shape[1] if design == "random" else len(models.differing)
    return None if len(queries.images) >= pool else used.ask(models, queries, random)


def ranking(models: Models, queries: Queries, *, design: str = DEFAULT) -> Int[np.ndarray, " K"]:
    """Models from the best to the worst by the answers so far.

    Raises:
        InputError: there is no such design.
    """
    return np.asarray(np.argsort(-_design(design).estimate(models, queries), kind="stable"))
