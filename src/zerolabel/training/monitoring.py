"""Label-free alarms during training, checked after a few epochs on a subset of the images.

A check costs a forward pass of the subset by each of at most two networks. The subset is sized so that all checks
together cost about `COST` of the training, where an epoch is at least three forward passes of all images.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from zerolabel.annotations import Annotations
from zerolabel.diagnostics import alarms
from zerolabel.learners import Learner
from zerolabel.training.loop import EpochLog, Source, make_fabric, predict
from zerolabel.training.settings import Settings

CHECKS = 10
"""Maximum number of checks over the training."""
FIRST_CHECK = 0.25
"""Share of the training before the first check; earlier predictions carry little information."""
COST = 0.02
FEWEST, MOST = 200, 5_000
"""Bounds on the size of the subset."""


@dataclass(frozen=True)
class Subset:
    """A subset of a source's images.

    Attributes:
        source: source of all images.
        rows: indices of the subset.
    """

    source: Source
    rows: Int[Tensor, " M"]

    def __len__(self) -> int:
        return len(self.rows)

    def views(self, names: tuple[str, ...], index: Int[Tensor, " B"]) -> tuple[Float[Tensor, "B ..."], ...]:
        """One tensor per named view."""
        return self.source.views(names, self.rows.to(index.device)[index])


def monitored(
    steps: Iterator[EpochLog],
    learner: Learner,
    source: Source,
    settings: Settings,
    annotations: Annotations,
    before: Callable[[int], Sequence[Mapping[str, Any]]] = lambda _: (),
) -> Iterator[EpochLog]:
    """Pass on the logs of a training, adding alarms after some epochs.

    With two networks, the figure ``disagreement`` is the share of the subset on which their predictions differ.

    Args:
        steps: logs of `zerolabel.training.train`.
        learner: the learner being trained.
        source: source of all images.
        settings: training settings.
        annotations: annotations of all images.
        before: from an epoch to the log lines of earlier epochs.
    """
    rows = monitored_rows(len(source), settings.epochs)
    subset, voted = Subset(source, rows), annotations.select(rows)
    moments = check_epochs(settings.epochs)
    for log in steps:
        if log.epoch not in moments or not len(rows):
            yield log
            continue
        fabric, size = make_fabric(settings), settings.batch_size * 4
        answers = [predict(network, subset, fabric, size).argmax(1).cpu() for network in learner.networks[:2]]
        raised, figures = list(alarms.check(answers[0], voted)), dict(log.figures)
        if len(answers) == 2:
            figures["disagreement"] = float((answers[0] != answers[1]).double().mean())
            earlier = [line["figures"] for line in before(log.epoch)]
            history = [one["disagreement"] for one in earlier if "disagreement" in one]
            drift = alarms.disagreement([*history, figures["disagreement"]], len(rows))
            raised += [] if drift is None else [drift]
        yield replace(log, figures=figures, alarms={alarm.kind: alarm.text for alarm in raised})


def check_epochs(epochs: int) -> set[int]:
    """The epochs after which alarms are checked; the last epoch is checked by the run itself."""
    later = range(int(FIRST_CHECK * epochs), epochs - 1)
    stride = -(-len(later) // CHECKS) or 1
    return set(later[stride - 1 :: stride])


def monitored_rows(n_images: int, epochs: int) -> Int[Tensor, " M"]:
    """Evenly spaced indices of the monitored subset."""
    affordable = int(3 * COST * epochs * n_images / max(len(check_epochs(epochs)), 1))
    count = min(n_images, MOST, max(FEWEST, affordable))
    return torch.linspace(0, n_images - 1, count).round().long() if count else torch.zeros(0, dtype=torch.long)


__all__ = ["Subset", "check_epochs", "monitored", "monitored_rows"]
