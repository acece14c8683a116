"""The training loop: it drives any learner and is the only place that steps an optimizer."""

import logging
import math
import time
import warnings
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from lightning_fabric import Fabric
from torch import Tensor, nn

from zerolabel.annotations.digest import Digest, in_words
from zerolabel.files import rows
from zerolabel.learners.base import Batch, Epoch, Learner, Pass
from zerolabel.networks.compiled import compiled
from zerolabel.networks.precision import best_precision
from zerolabel.networks.zero_shot_start import interpolate
from zerolabel.training.checkpoints import Checkpoint
from zerolabel.training.drawing import index_batches
from zerolabel.training.pace import Limit, Pace
from zerolabel.training.ranks import ALONE, Ranks, together
from zerolabel.training.settings import Settings

MADE_FOR = 10_000
"""Pool size from which the default settings, taken from papers on large data sets, are appropriate."""
BN_IMAGES = 10_000
"""Maximum number of images over which batch-norm statistics are recomputed."""


@runtime_checkable
class Source(Protocol):
    """Images, or features of images, as batches of views: `views.Pixels` and `views.Features`."""

    def __len__(self) -> int: ...

    def views(self, names: tuple[str, ...], index: Int[Tensor, " B"]) -> tuple[Float[Tensor, "B ..."], ...]:
        """One tensor per named view, on the source's device."""
        ...


@dataclass(frozen=True)
class EpochLog:
    """Log of one epoch.

    Attributes:
        epoch: from 0.
        progress: finished share of the training, in (0, 1].
        losses: mean of each weighted loss term over the steps that returned it.
        figures: the learner's own statistics, such as split sizes.
        learning_rate: learning rate of this epoch.
        images_per_second: throughput in images, not views.
        seconds: duration.
        alarms: alarm texts by kind; see `zerolabel.training.monitoring`.
    """

    epoch: int
    progress: float
    losses: dict[str, float]
    figures: dict[str, float]
    learning_rate: float
    images_per_second: float
    seconds: float
    alarms: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """JSON-serializable dictionary."""
        return asdict(self)


def train(
    learner: Learner,
    source: Source,
    settings: Settings,
    checkpoint: Path | None = None,
    made_of: Digest | None = None,
    limit: Limit | None = None,
) -> Iterator[EpochLog]:
    """Train a learner in place and yield one log per epoch.

    Args:
        learner: moved to the device.
        source: row i is image i of the learner's annotations.
        settings: training settings.
        checkpoint: written after every epoch, once its log was consumed; if it exists, training continues after its
            epoch. An interruption in between repeats the epoch and its log.
        made_of: hashes of the data; a checkpoint of other data is ignored with a warning. None skips this check.
        limit: of time; epochs are left out so that the schedule is finished in it, see `zerolabel.training.pace`.

    Raises:
        InputError: the checkpoint belongs to another learner or other settings; a process of several died; or the
            networks cannot be compiled here.
        FloatingPointError: a loss is not finite.
    """
    warn_of_small_pool(len(source), learner, settings)
    given = learner, source, settings, checkpoint, made_of
    with together(settings.devices, best_device(settings.device).type, _epochs, *given, None) as ranks:
        yield from _epochs(*given, limit, ranks)


def _epochs(
    learner: Learner,
    source: Source,
    settings: Settings,
    checkpoint: Path | None,
    made_of: Digest | None,
    limit: Limit | None,
    ranks: Ranks,
) -> Iterator[EpochLog]:
    """Train in one of the processes; the first one decides which epochs there are, and writes the checkpoint."""
    fabric = make_fabric(settings)
    learner = fabric.to_device(learner)
    learner.to(memory_format=torch.channels_last)
    optimizer = fabric.setup_optimizers(make_optimizer(learner, settings))
    fixed = {name: value for name, value in asdict(settings).items() if name not in ("device", "compile")}
    pace = Pace(list(range(settings.epochs)), limit, getattr(learner, "warm_up", None))
    if checkpoint is not None and checkpoint.exists():
        found = Checkpoint.load(checkpoint)
        pace.restore(found.meta.get("pace"), resumed_epoch(found, made_of, learner, optimizer.optimizer, fixed))
    with compiled(learner, settings.compile):
        while (number := ranks.agreed(pace.begin() if pace.left and ranks.rank == 0 else None)) is not None:
            torch.manual_seed(settings.seed * 1_000_003 + number + 1)
            set_learning_rate(optimizer, settings.lr_at(number))
            ask = partial(predict_weak_view, source=source, fabric=fabric, settings=settings, ranks=ranks)
            epoch = Epoch(number, number / settings.epochs, ask)
            yield run_epoch(learner, source, epoch, settings, fabric, optimizer, ranks)
            pace.finish(number)
            if checkpoint is not None and ranks.rank == 0:
                state = None if limit is None else pace.state
                Checkpoint.of(learner, optimizer.optimizer, number, fixed, made_of, state).save(checkpoint)
    torch.manual_seed(settings.seed * 1_000_003)
    if settings.statistics == "recomputed" and ranks.rank == 0:
        for network in learner.networks:
            recompute_bn_statistics(network, source, fabric, settings.batch_size * 4)
    for network in learner.networks:
        interpolate(network, settings.interpolation)


def warn_of_small_pool(n_images: int, learner: Learner, settings: Settings) -> None:
    """Warn if defaults that suit large data sets are used on few images."""
    usual, kind = Settings(), type(learner)
    missed = []
    if not learner.options_given and n_images < kind.made_for:
        missed.append(f"the defaults of {kind.__name__}")
    if n_images < MADE_FOR and all(getattr(settings, k) == getattr(usual, k) for k in ("batch_size", "lr", "period")):
        missed.append(f"the default batch_size {usual.batch_size} and lr {usual.lr}")
    if missed:
        warnings.warn(
            f"{n_images} images are few for {' and '.join(missed)}, which suit 20,000 images or more: "
            "zerolabel.prepare chooses a learner and settings by the number of images.",
            stacklevel=3,
        )


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of every parameter group to its share of a rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("scale", 1.0)


def resumed_epoch(
    found: Checkpoint,
    made_of: Digest | None,
    learner: Learner,
    optimizer: torch.optim.Optimizer,
    settings: dict[str, Any],
) -> int:
    """Restore a checkpoint and return the next epoch; 0, with a warning, if its data has changed."""
    stale = found.stale(made_of)
    if not stale:
        return found.restore(learner, optimizer, settings) + 1
    warnings.warn(f"the training starts again: since its checkpoint, the {in_words(stale)} changed.", stacklevel=2)
    return 0


def time_epoch(learner: Learner, source: Source, settings: Settings) -> float:
    """Seconds of the last epoch, in which every loss term is active."""
    fabric = make_fabric(settings)
    learner = fabric.to_device(learner)
    optimizer = fabric.setup_optimizers(make_optimizer(learner, settings))
    last = settings.epochs - 1
    ask = partial(predict_weak_view, source=source, fabric=fabric, settings=settings)
    epoch = Epoch(last, last / settings.epochs, ask)
    run_epoch(learner, source, epoch, settings, fabric, optimizer)
    return run_epoch(learner, source, epoch, settings, fabric, optimizer).seconds


def run_epoch(
    learner: Learner,
    source: Source,
    epoch: Epoch,
    settings: Settings,
    fabric: Fabric,
    optimizer: torch.optim.Optimizer,
    ranks: Ranks = ALONE,
) -> EpochLog:
    """Run all passes of one epoch."""
    start, images = time.perf_counter(), 0
    sums: dict[str, Tensor] = {}
    counts: dict[str, int] = defaultdict(int)
    for one in learner.passes(epoch):
        with ranks.apart():
            images += run_pass(learner, source, one, epoch, settings, fabric, optimizer, ranks, sums, counts)
        ranks.synchronize(learner, len(source))
    means = ranks.means({name: float(total) for name, total in sums.items()}, counts)
    broken = [name for name, value in means.items() if not math.isfinite(value)]
    if broken:
        raise FloatingPointError(f"the loss '{broken[0]}' is not finite in epoch {epoch.number}; try a smaller lr.")
    seconds = time.perf_counter() - start
    progress = (epoch.number + 1) / settings.epochs
    lr, speed = settings.lr_at(epoch.number), images * ranks.count / seconds
    return EpochLog(epoch.number, progress, means, dict(learner.figures), lr, speed, seconds)


def run_pass(
    learner: Learner,
    source: Source,
    one: Pass,
    epoch: Epoch,
    settings: Settings,
    fabric: Fabric,
    optimizer: torch.optim.Optimizer,
    ranks: Ranks,
    sums: dict[str, Tensor],
    counts: dict[str, int],
) -> int:
    """Run the steps of one pass, adding up each loss term; returns the number of images.

    Raises:
        RuntimeError: another process of the training died.
    """
    learner.train()
    images, parameters = 0, [p for group in optimizer.param_groups for p in group["params"]]
    part = replace(one, groups=ranks.groups(one.groups or (torch.arange(len(source)),)))
    names, steps = one.views or learner.views, list(index_batches(part, len(source), ranks.size(settings.batch_size)))
    for number, groups in enumerate(steps):
        indices, done = [group.to(fabric.device) for group in groups], number / len(steps)
        if settings.lr_per_step:
            set_learning_rate(optimizer, settings.lr_at(epoch.number + done))
        batches = [Batch(index, source.views(names, index), done) for index in indices]
        with fabric.autocast():
            terms = one.step(*batches)
            loss = torch.stack([term.float() for term in terms.values()]).sum()
        optimizer.zero_grad(set_to_none=True)
        fabric.backward(loss)
        ranks.average_gradients(parameters)
        optimizer.step()
        images += sum(len(batch.index) for batch in batches)
        for name, term in terms.items():
            sums[name] = sums.get(name, 0) + term.detach()
            counts[name] += 1
    return images


@torch.no_grad()
def predict(
    network: nn.Module,
    source: Source,
    fabric: Fabric,
    batch_size: int,
    view: str = "eval",
    images: Int[Tensor, " M"] | None = None,
) -> Float[Tensor, "M C"]:
    """Softmax probabilities of a network in eval mode on some images of a source, or all."""
    images, found = torch.arange(len(source)) if images is None else images, torch.zeros(0)
    with evaluating(network):
        for start in range(0, len(images), batch_size):
            index = images[start : start + batch_size].to(fabric.device)
            (x,) = source.views((view,), index)
            with fabric.autocast():
                logits = network(x)
            if not len(found):
                found = rows.zeros((len(images), logits.shape[1]), device=logits.device)
            found[start : start + len(index)] = logits.float().softmax(1)
    return found


def predict_weak_view(
    network: nn.Module, source: Source, fabric: Fabric, settings: Settings, ranks: Ranks = ALONE
) -> Float[Tensor, "N C"]:
    """Probabilities on one weak view of each image, for learners that refine targets between passes."""
    size = ranks.size(settings.batch_size) * 4
    with ranks.apart():
        if settings.statistics == "recomputed":
            recompute_bn_statistics(network, source, fabric, size, ranks)
        own = predict(network, source, fabric, size, "weak", ranks.mine(torch.arange(len(source))))
    return ranks.rows(own)


@torch.no_grad()
def recompute_bn_statistics(
    network: nn.Module, source: Source, fabric: Fabric, batch_size: int, ranks: Ranks = ALONE
) -> None:
    """Recompute the running batch-norm statistics on weak views of at most `BN_IMAGES` images.

    During training they average over the latest batches, including mixed and strongly augmented images, whose
    statistics differ from those at test time (Wu, Johnson. Rethinking "Batch" in BatchNorm. arXiv 2105.07576).
    """
    mode = network.training
    network.train()
    known = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    norms = [norm for norm in known if norm.training]  # a frozen encoder stays in eval mode and keeps its statistics
    network.train(mode)
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    network.train()
    own = ranks.mine(torch.arange(len(source)))
    for index in own[torch.randperm(len(own))][: BN_IMAGES // ranks.count].split(batch_size):
        (x,) = source.views(("weak",), index.to(fabric.device))
        with fabric.autocast():
            network(x)
    network.train(mode)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    ranks.synchronize(network, 0)


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Context manager: eval mode inside, the previous mode after it."""
    mode = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(mode)


def make_optimizer(learner: Learner, settings: Settings) -> torch.optim.Optimizer:
    """Optimizer over all trainable parameters, with the learner's learning-rate shares."""
    parameters: list[dict[str, Any]] = []
    for share, group in learner.parameter_groups():
        wanted = [p for p in group if p.requires_grad]
        if wanted:
            parameters.append({"params": wanted, "scale": share, "lr": share * settings.lr})
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(parameters, lr=settings.lr, weight_decay=settings.weight_decay)
    return torch.optim.SGD(parameters, lr=settings.lr, momentum=settings.momentum, weight_decay=settings.weight_decay)


def make_fabric(settings: Settings) -> Fabric:
    """A Fabric with the device and precision of the settings."""
    precision = {"float32": "32-true", "bfloat16": "bf16-mixed"}
    wanted = settings.precision if settings.precision != "auto" else best_precision(settings.device)
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    return Fabric(accelerator=best_device(settings.device).type, devices=1, precision=precision[wanted])


def best_device(wanted: str = "auto") -> torch.device:
    """Resolve a device name; "auto" is the first CUDA device if there is one, otherwise the CPU."""
    if wanted != "auto":
        return torch.device(wanted)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


__all__ = ["EpochLog", "Settings", "Source", "best_device", "predict", "time_epoch", "train"]
