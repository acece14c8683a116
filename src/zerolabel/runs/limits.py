"""Time that is left for each stage of a training under ``--time``."""

from zerolabel.data.images import ImageSet
from zerolabel.runs.config import TrainingConfig
from zerolabel.runs.cost import Forecast, epoch_costs, this_machine, training
from zerolabel.training.pace import Limit

LEAST = 0.1
"""Share of the planned time that training gets at least, however long other stages took."""


def training_end(config: TrainingConfig, expected: Forecast, spent: float) -> float | None:
    """Seconds after the start of this command at which training is to be done; None without a limit.

    Args:
        config: of the training.
        expected: forecast of the run.
        spent: seconds of earlier sessions.
    """
    if config.time is None:
        return None
    stages = list(expected.seconds)
    last = max((place for place, stage in enumerate(stages) if stage.startswith("train")), default=-1)
    after = sum(expected.seconds[stage] or 0.0 for stage in stages[last + 1 :])
    return max(config.time - after, LEAST * config.time) - spent


def stage_limit(
    config: TrainingConfig, stage: str, images: ImageSet, end: float | None, elapsed: float
) -> Limit | None:
    """The limit of a stage: until the end of training for the last one, a planned share of it for an earlier one.

    Args:
        config: of the training.
        stage: one of those of `zerolabel.runs.cost.training`.
        images: to train on.
        end: seconds after the start of this command at which training is to be done; None without a limit.
        elapsed: seconds since that start.
    """
    if end is None:
        return None
    planned = training(config, images, this_machine(config.device))
    left = max(end - elapsed, 0.0)
    to_come = list(planned)[list(planned).index(stage) :]
    share = (planned[stage] or 0.0) / max(sum(planned[each] or 0.0 for each in to_come), 1e-9)
    return Limit(left * (share if stage != list(planned)[-1] else 1.0), tuple(epoch_costs(config, len(images), stage)))


__all__ = ["stage_limit", "training_end"]
