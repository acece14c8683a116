"""From a learner and its images to trained networks: the loop with its log, checkpoint and monitoring."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from zerolabel.annotations import Annotations
from zerolabel.annotations.digest import Digest, of_annotations
from zerolabel.data.views import Preprocess
from zerolabel.diagnostics.agreement import agreement
from zerolabel.learners import Learner
from zerolabel.networks import Network
from zerolabel.training.log import LogFile
from zerolabel.training.loop import EpochLog, Source, make_fabric, predict, train
from zerolabel.training.monitoring import Subset, monitored
from zerolabel.training.pace import Limit
from zerolabel.training.set_aside import remaining
from zerolabel.training.settings import Settings
from zerolabel.training.validation import Validation


@dataclass(frozen=True)
class Trained:
    """Result of training.

    Attributes:
        networks: those that could be deployed, the one first that agrees best with the annotators.
        log_probabilities: of each of them on the training images, eval view.
        agreement: share of the training images on which the first two agree, weak view; none where there is one.
        preprocess: from an image to the networks' input; none where they read embeddings.
        aside: ids of the training images that were not learned, see `zerolabel.training.set_aside`.
        is_teacher: True if another network learns from these.
        validation: what human labels said of the learner; None where too few were given.
    """

    networks: tuple[Network, ...]
    log_probabilities: tuple[Float[Tensor, "N C"], ...]
    agreement: float | None
    preprocess: Preprocess | None
    aside: Int[Tensor, " S"] = field(default_factory=lambda: torch.zeros(0, dtype=torch.long))
    is_teacher: bool = False
    validation: Validation | None = None


def fit(
    learner: Learner,
    annotations: Annotations,
    source: Source,
    settings: Settings,
    preprocess: Preprocess | None,
    log: LogFile,
    checkpoint: Path,
    progress: Callable[[Iterator[EpochLog]], Iterable[EpochLog]] = iter,
    made_of: Digest | None = None,
    aside: Int[Tensor, " S"] | None = None,
    limit: Limit | None = None,
) -> Trained:
    """Run the loop, keep its log, and put the network first that agrees best with the annotators.

    Args:
        learner: is trained in place; its rows are the images that are not set aside.
        annotations: of all N images; the monitoring compares predictions with their votes.
        source: views of all N images.
        settings: of the training.
        preprocess: from an image to the networks' input; none where they read embeddings.
        log: gets a line for each epoch.
        checkpoint: file that is written after every epoch, and continued where it exists.
        progress: shows the epochs as they pass.
        made_of: hashes of what training reads, which the checkpoint keeps; by default of the annotations.
        aside: ids of images that are not learned; the network is chosen by these where there are some.
        limit: of time.
    """
    aside = torch.zeros(0, dtype=torch.long) if aside is None else aside
    learned, checked, said = source, source, annotations
    if len(aside):
        learned, checked = Subset(source, remaining(len(annotations), aside)), Subset(source, aside)
        said = annotations.select(aside)
    steps = train(learner, learned, settings, checkpoint, made_of or of_annotations(annotations), limit)
    for epoch in progress(monitored(steps, learner, checked, settings, said, log.before)):
        log.add(epoch)
    fabric, size = make_fabric(settings), settings.batch_size * 4
    torch.manual_seed(settings.seed)
    p = [predict(network, source, fabric, size).cpu() for network in learner.networks]
    if not all(bool(one.sum(1).isfinite().all()) for one in p):
        raise FloatingPointError(
            f"the networks of '{log.stage}' predict values that are not finite; nothing is deployed."
        )
    weak = [predict(network, source, fabric, size, view="weak").argmax(1).cpu() for network in learner.networks[:2]]
    validating = aside if len(aside) else slice(None)
    best = max(range(len(p)), key=lambda k: in_candidates(p[k][validating], annotations.candidates[validating]))
    order = sorted(range(len(p)), key=lambda k: k != best)
    return Trained(
        tuple(learner.networks[k].cpu().eval() for k in order),
        tuple(p[k].clamp_(min=1e-12).log_() for k in order),
        agreement(*weak) if len(weak) == 2 else None,
        preprocess,
        aside,
    )


def in_candidates(p: Float[Tensor, "N C"], candidates: Tensor) -> float:
    """Share of the annotated images whose predicted class is one of their candidates: a label-free agreement."""
    rows = candidates.any(1)
    chosen = p.argmax(1, keepdim=True)
    return float(candidates.gather(1, chosen)[rows].float().mean()) if bool(rows.any()) else 0.0


__all__ = ["Trained", "fit"]
