"""Facts about learners that a plan needs, read from plain data, so that no learner is imported for it.

``learners.json`` is written by ``python -m tools.learner_facts``; a test compares it with the learners.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

TABLE = Path(__file__).with_name("learners.json")


@cache
def facts() -> dict[str, dict[str, Any]]:
    """Default warm-up of every learner, none without such a hyper-parameter, and if it takes propagated scores."""
    found: dict[str, dict[str, Any]] = json.loads(TABLE.read_text(encoding="utf-8"))
    return found


def takes_propagated_scores(learner: str) -> bool:
    """True if scores that were spread over neighbors may take the place of the annotators' own."""
    return bool(facts()[learner]["takes_propagated_scores"])


def fit_to_epochs(hyper: dict[str, Any], learner: str, epochs: int) -> dict[str, Any]:
    """Shorten a warm-up that would fill the whole training to a quarter of it."""
    warm_up = hyper["warm_up"] if "warm_up" in hyper else facts()[learner]["warm_up"]
    if not isinstance(warm_up, int) or warm_up < epochs:
        return hyper
    return {**hyper, "warm_up": max(1, epochs // 4)}


__all__ = ["TABLE", "facts", "fit_to_epochs", "takes_propagated_scores"]
