"""The one training loop: it drives any learner, and is the only place that steps an optimizer."""

import logging
import math
import time
import warnings
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from lightning_fabric import Fabric
from torch import Tensor, nn

from zerolabel.annotations.digest import Digest, in_words
from zerolabel.learners.base import Batch, Epoch, Learner, Pass
from zerolabel.training.checkpoints import Checkpoint
from zerolabel.training.settings import Settings

MADE_FOR = 10_000
"""Images from which on the default settings, those of papers on large sets, are worth trying."""
SETTLING = 10_000
"""Images over which statistics of batch normalization are recomputed."""


@runtime_checkable
class Source(Protocol):
    """Images, or features of images, as batches of views: `views.Pixels` and `views.Features`."""

    def __len__(self) -> int: ...

    def views(self, names: tuple[str, ...], index: Int[Tensor, " B"]) -> tuple[Float[Tensor, "B ..."], ...]:
        """One tensor per named view, on the source's device."""
        ...


@dataclass(frozen=True)
class EpochLog:
    """What one epoch did.

    Attributes:
        epoch: from 0.
        progress: share of the training that is done after it, in (0, 1].
        losses: mean of each weighted term over the steps that had it.
        figures: the learner's own numbers, such as the sizes of splits.
        learning_rate: of this epoch.
        images_per_second: images drawn, not views.
        seconds: duration.
        alarms: what was seen to go wrong after it, by kind; see `zerolabel.training.monitoring`.
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
        """Plain data for a line of JSON."""
        return asdict(self)


def train(
    learner: Learner,
    source: Source,
    settings: Settings,
    checkpoint: Path | None = None,
    made_of: Digest | None = None,
) -> Iterator[EpochLog]:
    """Train a learner in place, yielding one log an epoch.

    Args:
        learner: is moved to the device.
        source: its row i is image i of the learner's annotations.
        settings: how.
        checkpoint: file that is written after every epoch, once its log was taken; where it exists,
            training continues after its epoch. A kill in between repeats the epoch, log and all.
        made_of: hashes of the data; a checkpoint of other data is not taken up, and a warning says so. None trusts it.

    Raises:
        InputError: the checkpoint is of another learner or other settings.
        FloatingPointError: a loss is no longer finite.
    """
    warn_of_few(len(source), learner, settings)
    fabric = launch(settings)
    learner = fabric.to_device(learner)
    learner.to(memory_format=torch.channels_last)
    optimizer = fabric.setup_optimizers(make_optimizer(learner, settings))
    first, fixed = 0, {name: value for name, value in asdict(settings).items() if name != "device"}
    if checkpoint is not None and checkpoint.exists():
        first = taken_up(Checkpoint.load(checkpoint), made_of, learner, optimizer.optimizer, fixed)
    for number in range(first, settings.epochs):
        torch.manual_seed(settings.seed * 1_000_003 + number + 1)
        set_rate(optimizer, settings.lr_at(number))
        epoch = Epoch(number, number / settings.epochs, lambda network: survey(network, source, fabric, settings))
        yield run_epoch(learner, source, epoch, settings, fabric, optimizer)
        if checkpoint is not None:
            Checkpoint.of(learner, optimizer.optimizer, number, fixed, made_of).save(checkpoint)
    torch.manual_seed(settings.seed * 1_000_003)
    if settings.statistics == "recomputed":
        for network in learner.networks:
            settle(network, source, fabric, settings.batch_size * 4)


def warn_of_few(n_images: int, learner: Learner, settings: Settings) -> None:
    """Say it where defaults that are made for large sets meet few images and nothing was set."""
    usual, kind = Settings(), type(learner)
    missed = []
    if not learner.options_given and n_images < kind.made_for:
        missed.append(f"the defaults of {kind.__name__}")
    if n_images < MADE_FOR and all(getattr(settings, k) == getattr(usual, k) for k in ("batch_size", "lr", "period")):
        missed.append(f"the default batch_size {usual.batch_size} and lr {usual.lr}")
    if missed:
        warnings.warn(
            f"{n_images} images are few for {' and '.join(missed)}, which are for 20,000 images and more: "
            "zerolabel.prepare makes a learner and settings for so few.",
            stacklevel=3,
        )


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Let every group of parameters train at its share of a learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("scale", 1.0)


def taken_up(
    found: Checkpoint,
    made_of: Digest | None,
    learner: Learner,
    optimizer: torch.optim.Optimizer,
    settings: dict[str, Any],
) -> int:
    """The epoch to continue with after a checkpoint: the first where its data has changed since."""
    stale = found.stale(made_of)
    if not stale:
        return found.restore(learner, optimizer, settings) + 1
    warnings.warn(f"the training starts again: since its checkpoint, the {in_words(stale)} changed.", stacklevel=2)
    return 0


def rehearse(learner: Learner, source: Source, settings: Settings) -> float:
    """Seconds of one epoch late in the training, when every term of the loss takes part."""
    fabric = launch(settings)
    learner = fabric.to_device(learner)
    optimizer = fabric.setup_optimizers(make_optimizer(learner, settings))
    last = settings.epochs - 1
    epoch = Epoch(last, last / settings.epochs, lambda network: survey(network, source, fabric, settings))
    run_epoch(learner, source, epoch, settings, fabric, optimizer)
    return run_epoch(learner, source, epoch, settings, fabric, optimizer).seconds


def run_epoch(
    learner: Learner, source: Source, epoch: Epoch, settings: Settings, fabric: Fabric, optimizer: torch.optim.Optimizer
) -> EpochLog:
    """All passes of one epoch."""
    start, images = time.perf_counter(), 0
    sums: dict[str, Tensor] = {}
    counts: dict[str, int] = defaultdict(int)
    for one in learner.passes(epoch):
        learner.train()
        names, steps = one.views or learner.views, list(draw(one, len(source), settings.batch_size))
        for number, groups in enumerate(steps):
            indices, done = [group.to(fabric.device) for group in groups], number / len(steps)
            if settings.lr_per_step:
                set_rate(optimizer, settings.lr_at(epoch.number + done))
            batches = [Batch(index, source.views(names, index), done) for index in indices]
            with fabric.autocast():
                terms = one.step(*batches)
                loss = torch.stack([term.float() for term in terms.values()]).sum()
            optimizer.zero_grad(set_to_none=True)
            fabric.backward(loss)
            optimizer.step()
            images += sum(len(batch.index) for batch in batches)
            for name, term in terms.items():
                sums[name] = sums.get(name, 0) + term.detach()
                counts[name] += 1
    means = {name: float(total) / counts[name] for name, total in sums.items()}
    broken = [name for name, value in means.items() if not math.isfinite(value)]
    if broken:
        raise FloatingPointError(f"the loss '{broken[0]}' is not finite in epoch {epoch.number}; try a smaller lr.")
    seconds = time.perf_counter() - start
    progress = (epoch.number + 1) / settings.epochs
    lr = settings.lr_at(epoch.number)
    return EpochLog(epoch.number, progress, means, dict(learner.figures), lr, images / seconds, seconds)


def draw(one: Pass, n_images: int, batch_size: int) -> Iterator[tuple[Int[Tensor, " _"], ...]]:
    """The index batches of a pass, one tensor per group, in random order; see `Pass.groups`."""
    groups = one.groups or (torch.arange(n_images),)
    size = batch_size * one.batches
    length = next((len(group) for group in groups if len(group)), 0)
    steps = -(-length // size)
    for parts in zip(*(batches_of(one, group.cpu(), length, size, steps) for group in groups), strict=True):
        yield tuple(parts)


def batches_of(
    one: Pass, group: Int[Tensor, " G"], length: int, size: int, steps: int
) -> tuple[Int[Tensor, " _"], ...]:
    """One index batch of a group for each step of a pass, by the pass's `restart` and `repeats`."""
    if one.restart and not one.repeats:
        return rounds(group, size, steps)
    return chunks(group, length, size, steps, one.restart)


def rounds(group: Int[Tensor, " G"], size: int, steps: int) -> tuple[Int[Tensor, " _"], ...]:
    """The group in random order and in batches, again and again; the last batch of each round may be short."""
    if len(group) == 0:
        return (group,) * steps
    found: list[Tensor] = []
    while len(found) < steps:
        found += group[torch.randperm(len(group))].split(size)
    return tuple(found[:steps])


def chunks(
    group: Int[Tensor, " G"], length: int, size: int, steps: int, restart: bool
) -> tuple[Int[Tensor, " _"], ...]:
    """One index batch of a group for each step; without restarts a smaller group is spread over the steps."""
    if restart or len(group) >= length:
        order = shuffled(group, length)
        return tuple(order[start : start + size] for start in range(0, length, size))
    return shuffled(group, len(group)).tensor_split(steps)


def shuffled(group: Int[Tensor, " G"], length: int) -> Int[Tensor, " L"]:
    """The group in random order, again and again until there are `length` indices; an empty group stays empty."""
    if len(group) == 0:
        return group
    rounds = [group[torch.randperm(len(group))] for _ in range(-(-length // len(group)))]
    return torch.cat(rounds)[:length]


@torch.no_grad()
def predict(
    network: nn.Module, source: Source, fabric: Fabric, batch_size: int, view: str = "eval"
) -> Float[Tensor, "N C"]:
    """Softmax probabilities of a network on all images of a source, in eval mode."""
    rows = []
    with evaluating(network):
        for index in torch.arange(len(source), device=fabric.device).split(batch_size):
            (x,) = source.views((view,), index)
            with fabric.autocast():
                logits = network(x)
            rows.append(logits.float().softmax(1))
    return torch.cat(rows)


def survey(network: nn.Module, source: Source, fabric: Fabric, settings: Settings) -> Float[Tensor, "N C"]:
    """What a learner sees of all images between its passes: one weak view each, by the statistics of the settings."""
    if settings.statistics == "recomputed":
        settle(network, source, fabric, settings.batch_size * 4)
    return predict(network, source, fabric, settings.batch_size * 4, view="weak")


@torch.no_grad()
def settle(network: nn.Module, source: Source, fabric: Fabric, batch_size: int) -> None:
    """Recompute the running statistics of batch normalization on weak views of at most 10,000 images.

    While training they follow whatever passed last, mixed and distorted images among them, which is not what is
    predicted on (Wu, Johnson. Rethinking "Batch" in BatchNorm. arXiv 2105.07576, "precise" statistics).
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
    for index in torch.randperm(len(source))[:SETTLING].split(batch_size):
        (x,) = source.views(("weak",), index.to(fabric.device))
        with fabric.autocast():
            network(x)
    network.train(mode)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Eval mode inside, the former mode after."""
    mode = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(mode)


def make_optimizer(learner: Learner, settings: Settings) -> torch.optim.Optimizer:
    """The optimizer over all parameters that want a gradient, at the rates that the learner asks for."""
    parameters: list[dict[str, Any]] = []
    for share, group in learner.parameter_groups():
        wanted = [p for p in group if p.requires_grad]
        if wanted:
            parameters.append({"params": wanted, "scale": share, "lr": share * settings.lr})
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(parameters, lr=settings.lr, weight_decay=settings.weight_decay)
    return torch.optim.SGD(parameters, lr=settings.lr, momentum=settings.momentum, weight_decay=settings.weight_decay)


def launch(settings: Settings) -> Fabric:
    """Fabric with the device and precision of the settings."""
    precision = {"float32": "32-true", "bfloat16": "bf16-mixed"}
    wanted = settings.precision if settings.precision != "auto" else best_precision(settings.device)
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    return Fabric(accelerator=best_device(settings.device).type, devices=1, precision=precision[wanted])


def best_device(wanted: str = "auto") -> torch.device:
    """The device that a word means: "auto" is the first CUDA device where there is one, else the processor."""
    if wanted != "auto":
        return torch.device(wanted)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def best_precision(device: str) -> Literal["float32", "bfloat16"]:
    """Bfloat16 where this machine multiplies it natively."""
    if device in ("auto", "cuda") and torch.cuda.is_available():
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    if device in ("auto", "cpu") and torch.cpu._is_avx512_bf16_supported():
        return "bfloat16"
    return "float32"


__all__ = ["EpochLog", "Settings", "Source", "best_device", "predict", "rehearse", "train"]
