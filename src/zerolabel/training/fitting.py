"""From a learner and its images to trained networks: the loop with its log, checkpoint and monitoring."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from zerolabel.annotations import Annotations
from zerolabel.annotations.digest import Digest, of_annotations
from zerolabel.data.views import Preprocess
from zerolabel.diagnostics.agreement import agreement
from zerolabel.learners import Learner
from zerolabel.networks import Network
from zerolabel.training.log import LogFile
from zerolabel.training.loop import EpochLog, Source, make_fabric, predict, train
from zerolabel.training.monitoring import monitored
from zerolabel.training.settings import Settings


@dataclass(frozen=True)
class Trained:
    """Result of training.

    Attributes:
        networks: those that could be deployed, the one first that agrees best with the annotators.
        log_probabilities: of each of them on the training images, eval view.
        agreement: share of the training images on which the first two agree, weak view; none where there is one.
        preprocess: from an image to the networks' input; none where they read embeddings.
    """

    networks: tuple[Network, ...]
    log_probabilities: tuple[Float[Tensor, "N C"], ...]
    agreement: float | None
    preprocess: Preprocess | None


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
) -> Trained:
    """Run the loop, keep its log, and put the network first that agrees best with the annotators.

    Args:
        learner: is trained in place.
        annotations: that it learns from; the monitoring compares predictions with their votes.
        source: views of the training images.
        settings: of the training.
        preprocess: from an image to the networks' input; none where they read embeddings.
        log: gets a line for each epoch.
        checkpoint: file that is written after every epoch, and continued where it exists.
        progress: shows the epochs as they pass.
        made_of: hashes of what training reads, which the checkpoint keeps; by default of the annotations.
    """
    steps = train(learner, source, settings, checkpoint, made_of or of_annotations(annotations))
    for epoch in progress(monitored(steps, learner, source, settings, annotations, log.before)):
        log.add(epoch)
    fabric, size = make_fabric(settings), settings.batch_size * 4
    torch.manual_seed(settings.seed)
    p = [predict(network, source, fabric, size).cpu() for network in learner.networks]
    if not all(bool(one.isfinite().all()) for one in p):
        raise FloatingPointError(
            f"the networks of '{log.stage}' predict values that are not finite; nothing is deployed."
        )
    weak = [predict(network, source, fabric, size, view="weak").argmax(1).cpu() for network in learner.networks[:2]]
    best = max(range(len(p)), key=lambda k: in_candidates(p[k], learner.candidates.cpu()))
    order = sorted(range(len(p)), key=lambda k: k != best)
    return Trained(
        tuple(learner.networks[k].cpu().eval() for k in order),
        tuple(p[k].clamp_min(1e-12).log() for k in order),
        agreement(*weak) if len(weak) == 2 else None,
        preprocess,
    )


def in_candidates(p: Float[Tensor, "N C"], candidates: Tensor) -> float:
    """Share of the annotated images whose predicted class is one of their candidates: a label-free agreement."""
    rows = candidates.any(1)
    chosen = p[rows].argmax(1, keepdim=True)
    return float(candidates[rows].gather(1, chosen).float().mean()) if bool(rows.any()) else 0.0


__all__ = ["Trained", "fit"]
