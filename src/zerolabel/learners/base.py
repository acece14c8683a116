"""All that the author of an algorithm must know: Batch, Pass, Epoch and Learner."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from zerolabel.annotations import Annotations
from zerolabel.blocks import losses, targets
from zerolabel.files import rows
from zerolabel.networks import Network
from zerolabel.options import check_value, defaults, keyword_types

Losses = dict[str, Tensor]
View = Literal["weak", "strong"]
"""The view that a learner of one view learns from."""
Views = Literal["weak", "strong", "three"]
"""The one view that a learner learns from, or three: a weak one and two strong ones."""


@dataclass(frozen=True)
class Batch:
    """Some images of one group, as tensors.

    Attributes:
        index: place of each image in the image set; addresses the learner's rows.
        views: one tensor per view that the learner declares, each with a row per image.
        progress: share of the pass that was done before this batch, in [0, 1); 0 for the first batch of a pass.
    """

    index: Int[Tensor, " B"]
    views: tuple[Float[Tensor, "B ..."], ...]
    progress: float = 0.0


@dataclass(frozen=True)
class Pass:
    """One pass over images.

    Attributes:
        step: called with one batch per group; returns weighted loss terms, whose sum is minimized.
        groups: image indices to draw from; none means all images. The first group that is not empty is
            drawn once each; the others restart when they are exhausted. An empty group gives empty batches.
        batches: size of a batch, as a multiple of the batch size in the settings.
        views: names of the views to draw in this pass; none means those that the learner declares.
        restart: whether a smaller group starts again when it is exhausted; else each image is drawn once, the
            smaller group in smaller batches.
        repeats: whether a group that starts again fills its batches, so that one may hold an image more than once;
            else the last batch of each round is short.
    """

    step: Callable[..., Losses]
    groups: tuple[Int[Tensor, " _"], ...] = ()
    batches: int = 1
    views: tuple[str, ...] | None = None
    restart: bool = True
    repeats: bool = True


@dataclass(frozen=True)
class Epoch:
    """State of the training at the start of an epoch.

    Attributes:
        number: from 0.
        progress: share of the whole training that is done, in [0, 1).
        predict: softmax probabilities of a network on all images, in eval mode and on one weak view each.
    """

    number: int
    progress: float
    predict: Callable[[nn.Module], Float[Tensor, "N C"]]


class Learner(nn.Module, ABC):
    """An algorithm that turns annotations into trained networks.

    A subclass is final. Its keyword-only constructor arguments are its hyper-parameters; its memory is
    buffers with one row per image, which move, save and resume with it.

    Attributes:
        views: names of the views that its batches hold, see `zerolabel.data.views`.
        takes_propagated_scores: whether scores that were spread over neighbors may take the place of the annotators'.
        network: the network that is trained.
        figures: numbers of the current epoch worth a line in the log, such as the sizes of splits.
        made_for: images from which on its defaults are worth trying.
        options_given: names of the hyper-parameters that it was made with, the others having their defaults.
    """

    made_for: ClassVar[int] = 0
    options_given: frozenset[str]
    views: tuple[str, ...] = ("weak",)
    takes_propagated_scores: bool = True
    candidates: Bool[Tensor, "N C"]
    scores: Float[Tensor, "N C"]
    labels: Int[Tensor, " N"]

    def __new__(cls, *_: object, **given: object) -> "Learner":
        """A learner that knows what it is made with, since defaults are no choice.

        Raises:
            InputError: a hyper-parameter is of another type or out of its range.
        """
        kinds = keyword_types(cls)
        for name in given.keys() & kinds.keys():
            check_value(name, given[name], kinds[name])
        made = super().__new__(cls)
        object.__setattr__(made, "options_given", frozenset(given) - {"network", "annotations"})
        return made

    def __init__(self, network: Network, annotations: Annotations) -> None:
        super().__init__()
        self.network = network
        self.figures: dict[str, float] = {}
        self.register_buffer("candidates", rows.copy(annotations.candidates))
        self.register_buffer("scores", rows.copy(annotations.scores))
        self.register_buffer("labels", rows.copy(annotations.labels))

    @property
    def networks(self) -> tuple[Network, ...]:
        """The networks that could be deployed."""
        return (self.network,)

    def parameter_groups(self) -> list[tuple[float, list[nn.Parameter]]]:
        """Groups of trainable parameters, each with its share of the learning rate."""
        return [(1.0, list(self.parameters()))]

    @property
    def labeled(self) -> Int[Tensor, " M"]:
        """Images with at least one candidate."""
        return self.candidates.any(1).nonzero().squeeze(1)

    @property
    def all_and_human(self) -> tuple[Int[Tensor, " N"], Int[Tensor, " H"]]:
        """All images, and those with a human label, as two groups of a pass."""
        return torch.arange(len(self.labels)), (self.labels >= 0).nonzero().squeeze(1)

    def scores_step(self, batch: Batch) -> Losses:
        """Cross-entropy with the annotators' scores or the human label: the warm-up of learners without candidates."""
        target = targets.with_human_labels(self.scores[batch.index], self.labels[batch.index])
        return {"warm_up": losses.cross_entropy(self.network(batch.views[0]), target)}

    @abstractmethod
    def passes(self, epoch: Epoch) -> Iterable[Pass]:
        """The passes of one epoch, in order; the code between two passes runs between them."""


def views_of(choice: Views) -> tuple[str, ...]:
    """Names of the views that a learner declares for its choice."""
    return ("weak", "strong", "strong") if choice == "three" else (choice,)


def hyper_parameters(learner: type[Learner]) -> dict[str, object]:
    """Name and default of each keyword-only argument of a learner's constructor."""
    return defaults(learner)


__all__ = ["Batch", "Epoch", "Learner", "Losses", "Pass", "View", "Views", "hyper_parameters", "views_of"]
