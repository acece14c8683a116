"""Alarms while a student trains: what shows without labels, at a few moments and on a few of the images.

A look costs a forward pass of the watched images by each of at most two networks. Their number is such that all looks
together cost about `COST` of the training, where an epoch is three forward passes of all images or more.
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
from zerolabel.training.loop import EpochLog, Source, launch, predict
from zerolabel.training.settings import Settings

LOOKS = 10
"""At most, over the training."""
QUIET = 0.25
"""Share of the training before the first look: a student that has hardly begun knows nothing yet."""
COST = 0.02
FEWEST, MOST = 200, 5_000
"""Images that are looked at."""


@dataclass(frozen=True)
class Some:
    """Some images of a source.

    Attributes:
        source: of all.
        rows: places of the chosen ones.
    """

    source: Source
    rows: Int[Tensor, " M"]

    def __len__(self) -> int:
        return len(self.rows)

    def views(self, names: tuple[str, ...], index: Int[Tensor, " B"]) -> tuple[Float[Tensor, "B ..."], ...]:
        """One tensor per named view."""
        return self.source.views(names, self.rows.to(index.device)[index])


def watched(
    steps: Iterator[EpochLog],
    learner: Learner,
    source: Source,
    settings: Settings,
    annotations: Annotations,
    before: Callable[[int], Sequence[Mapping[str, Any]]] = lambda _: (),
) -> Iterator[EpochLog]:
    """The logs of a training, with the alarms that are seen after some of its epochs.

    Where there are two networks, the figure ``disagreement`` is the share of the watched images on which they differ.

    Args:
        steps: of `zerolabel.training.train`.
        learner: that is trained.
        source: of all images.
        settings: of the training.
        annotations: of all images.
        before: lines of the log of the epochs before a given one.
    """
    rows = chosen(len(source), settings.epochs)
    some, said = Some(source, rows), annotations.select(rows)
    moments = looks(settings.epochs)
    for log in steps:
        if log.epoch not in moments or not len(rows):
            yield log
            continue
        fabric, size = launch(settings), settings.batch_size * 4
        answers = [predict(network, some, fabric, size).argmax(1).cpu() for network in learner.networks[:2]]
        raised, figures = list(alarms.check(answers[0], said)), dict(log.figures)
        if len(answers) == 2:
            figures["disagreement"] = float((answers[0] != answers[1]).double().mean())
            earlier = [line["figures"] for line in before(log.epoch)]
            history = [one["disagreement"] for one in earlier if "disagreement" in one]
            drift = alarms.disagreement([*history, figures["disagreement"]], len(rows))
            raised += [] if drift is None else [drift]
        yield replace(log, figures=figures, alarms={alarm.kind: alarm.text for alarm in raised})


def looks(epochs: int) -> set[int]:
    """The epochs after which there is a look; the last one is looked at by the run itself."""
    later = range(int(QUIET * epochs), epochs - 1)
    stride = -(-len(later) // LOOKS) or 1
    return set(later[stride - 1 :: stride])


def chosen(n_images: int, epochs: int) -> Int[Tensor, " M"]:
    """Images that are watched, evenly spaced."""
    affordable = int(3 * COST * epochs * n_images / max(len(looks(epochs)), 1))
    count = min(n_images, MOST, max(FEWEST, affordable))
    return torch.linspace(0, n_images - 1, count).round().long() if count else torch.zeros(0, dtype=torch.long)


__all__ = ["Some", "chosen", "looks", "watched"]
