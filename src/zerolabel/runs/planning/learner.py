"""Which hyper-parameters the learner takes."""

from typing import Any

from zerolabel import networks
from zerolabel.errors import InputError
from zerolabel.learners import LEARNERS, hyper_parameters
from zerolabel.runs.cost import blank


def fit_to_epochs(hyper: dict[str, Any], learner: str, epochs: int) -> dict[str, Any]:
    """Shorten a warm-up that would fill the whole training to a quarter of it."""
    default = hyper_parameters(LEARNERS[learner]).get("warm_up")
    warm_up = hyper.get("warm_up", default)
    if not isinstance(warm_up, int) or warm_up < epochs:
        return hyper
    return {**hyper, "warm_up": max(1, epochs // 4)}


def check_hyper_parameters(learner: str, hyper: dict[str, Any], classes: tuple[str, ...]) -> None:
    """Check the hyper-parameters by building the learner on a few synthetic images.

    Raises:
        InputError: it does not.
    """
    size = 8
    try:
        LEARNERS[learner](networks.build("linear", len(classes), size), blank(classes, size), **hyper)
    except (ValueError, RuntimeError, ZeroDivisionError) as error:
        if isinstance(error, InputError):
            raise
        values = ", ".join(f"{name}={value}" for name, value in hyper.items())
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"--set: {learner} cannot be made with {values} ({reason}); change one.") from None
