"""What a plan knows of learners, as plain data, so that none is imported for it; a test compares it with them."""

from typing import Any

DEFAULT = "coreg"
"""The learner whose presets are complete."""
WITHOUT_WARM_UP = (
    *("cross_entropy", "distillation", "coteaching", "elr", "elr_plus", "fixmatch", "flexmatch", "gce", "jocor"),
    *("sce", "cc", "rc", "proden", "lws", "lwc", "cavl", "crdpll", "fredis", "dirk", "able", "papi", "pico"),
    *("transductive_clip", "irnet", "alim", "grip", "cpl", "upl", "lafter"),
)
WARM_UPS: dict[str, int | None] = {
    **dict.fromkeys(WITHOUT_WARM_UP),
    **{"coreg": 50, "dividemix": 10, "promix": 10, "truncated_gce": 40, "unicon": 10, "pop": 20, "pico_plus": 5},
    **{"solar": 20, "ueo": 0, "tent": 0, "pouf": 0, "must": 0, "dpa": 0},
}
"""Epochs of warm-up of every learner where nothing is said; none where it has no such hyper-parameter."""
OWN_SCORES = ("ueo",)
"""Learners that weigh images by the annotators' own scores."""


def takes_propagated_scores(learner: str) -> bool:
    """True if scores that were spread over neighbors may take the place of the annotators' own."""
    return learner not in OWN_SCORES


def fit_to_epochs(hyper: dict[str, Any], learner: str, epochs: int) -> dict[str, Any]:
    """Shorten a warm-up that would fill the whole training to a quarter of it."""
    warm_up = hyper["warm_up"] if "warm_up" in hyper else WARM_UPS[learner]
    if not isinstance(warm_up, int) or warm_up < epochs:
        return hyper
    return {**hyper, "warm_up": max(1, epochs // 4)}
