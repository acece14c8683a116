"""Which hyper-parameters the learner takes."""

from typing import Any

DEFAULT = "coreg"
"""The learner whose presets are complete, so that it need not be imported for a plan."""


def takes_propagated_scores(learner: str) -> bool:
    """True if scores that were spread over neighbors may take the place of the annotators' own."""
    if learner == DEFAULT:
        return True
    from zerolabel.learners import LEARNERS

    return LEARNERS[learner].takes_propagated_scores


def fit_to_epochs(hyper: dict[str, Any], learner: str, epochs: int) -> dict[str, Any]:
    """Shorten a warm-up that would fill the whole training to a quarter of it."""
    warm_up = hyper["warm_up"] if "warm_up" in hyper else own_warm_up(learner)
    if not isinstance(warm_up, int) or warm_up < epochs:
        return hyper
    return {**hyper, "warm_up": max(1, epochs // 4)}


def own_warm_up(learner: str) -> object:
    """The warm-up that a learner has where nothing is said; none where it has none."""
    from zerolabel.learners import LEARNERS, hyper_parameters

    return hyper_parameters(LEARNERS[learner]).get("warm_up")
