"""Training settings of any learner, and the options of learner and training parsed from NAME=VALUE."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, get_type_hints

import torch

from zerolabel.errors import InputError, nearest
from zerolabel.learners import LEARNERS, Learner
from zerolabel.options import (
    BelowOne,
    Count,
    Epochs,
    Range,
    Rounds,
    Seed,
    Share,
    Weight,
    check_value,
    convert,
    keyword_types,
    split,
)


@dataclass(frozen=True)
class Settings:
    """Training settings of any learner.

    Attributes:
        epochs: passes of the learner; Co-Reg's paper uses 100 or 800.
        batch_size: images of each group in a batch.
        optimizer: "sgd" with momentum, or "adamw".
        lr: learning rate at the start.
        final_lr: share of it at the end of the cosine.
        period: epochs of the cosine; none means all. Co-Reg's code uses 800 whatever the number of epochs.
        cycles: equal parts of the training, in each of which the learning rate restarts; GRIP's has one a round.
        lr_warm_up: epochs over which the learning rate rises from 0 before the cosine, in every cycle.
        lr_per_step: whether the learning rate falls with every step, not with every epoch.
        momentum: of SGD.
        weight_decay: L2 penalty (SGD) or decoupled decay (AdamW).
        precision: "auto" takes bfloat16 where the processor multiplies it natively, else float32.
        device: "auto", "cpu", "cuda", "mps".
        devices: processes that share each batch, each on a graphics card of its own, or on cores of the processor.
        seed: of weights, order and views; on a CPU the same seed gives the same bits.
        statistics: of batch normalization where all images are predicted and at the end: "recomputed" on weak views,
            or "running", as training left them, which is what authors' code usually does.
        interpolation: share in [0, 1] that is kept, at the end, of what a head that starts at the zero-shot classifier
            adds to it, see `networks.zero_shot_start.interpolate`; 1 keeps all.
        compile: whether networks go through torch.compile, which takes about a minute at the start.
    """

    epochs: Rounds = 100
    batch_size: Count = 256
    optimizer: Literal["sgd", "adamw"] = "sgd"
    lr: Annotated[float, Range(1e-12, 1e3)] = 0.01
    final_lr: Share = 1e-3
    period: Rounds | None = None
    cycles: Annotated[int, Range(1, 1000)] = 1
    lr_warm_up: Epochs = 0
    lr_per_step: bool = False
    momentum: BelowOne = 0.9
    weight_decay: Weight = 5e-4
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    device: str = "auto"
    devices: Annotated[int, Range(1, 64)] = 1
    seed: Seed = 0
    statistics: Literal["recomputed", "running"] = "recomputed"
    interpolation: Share = 1.0
    compile: bool = False

    def lr_at(self, epoch: int | float) -> float:
        """``lr_min + (lr - lr_min) (1 + cos(pi (e - w) / (period - w))) / 2``, and ``lr e / w`` in the warm-up of w."""
        span = self.epochs / self.cycles
        at = epoch % span if self.cycles > 1 else epoch
        if at < self.lr_warm_up:
            return self.lr * at / self.lr_warm_up
        low, rest = self.lr * self.final_lr, max((self.period or span) - self.lr_warm_up, 1)
        return low + (self.lr - low) * (1 + math.cos(math.pi * (at - self.lr_warm_up) / rest)) / 2


@dataclass(frozen=True)
class Options:
    """Parsed options of the learner and of the training.

    Attributes:
        learner: hyper-parameters of the learner.
        settings: fields of `training.Settings`.
    """

    learner: dict[str, Any]
    settings: dict[str, Any]


@cache
def setting_types() -> dict[str, Any]:
    """Type of each field of `Settings`, with its range."""
    return get_type_hints(Settings, include_extras=True)


def find_learner(name: str) -> type[Learner]:
    """The learner of that name.

    Raises:
        InputError: there is none.
    """
    if name not in LEARNERS:
        raise InputError(f"there is no learner '{name}'{nearest(name, LEARNERS)}")
    return LEARNERS[name]


def parse(learner: str, assignments: Iterable[str]) -> Options:
    """Read ``NAME=VALUE`` texts.

    Raises:
        InputError: a text without ``=``, an unknown name, or a value of another type or out of its range.
    """
    own, common = keyword_types(find_learner(learner)), setting_types()
    options = Options({}, {})
    for text in assignments:
        name, value = split(text)
        if name in own:
            options.learner[name] = convert(name, value, own[name])
        elif name in common:
            options.settings[name] = convert(name, value, common[name])
        else:
            raise InputError(f"--set {name}: {learner} has no such option{nearest(name, own | common)}")
    return options


def make_settings(values: dict[str, Any]) -> Settings:
    """Training settings, with numbers that can be.

    Raises:
        InputError: a number is out of its range, or the device is unknown or not in this machine.
    """
    kinds = setting_types()
    for name, value in values.items():
        check_value(name, value, kinds[name])
    check_device(values.get("device", "auto"), values.get("devices", 1))
    return Settings(**values)


def check_device(name: str, count: int = 1) -> None:
    """Check that a device exists, as often as it is asked for.

    Raises:
        InputError: the name is unknown, or this machine has no such device or too few.
    """
    there = {"auto": True, "cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    kind, _, number = name.partition(":")
    if kind not in there or (number and not (kind == "cuda" and number.isdigit())):
        raise InputError(f"--device {name}: there is no such device{nearest(name, there)}")
    if not there[kind] or int(number or 0) >= max(1, torch.cuda.device_count()):
        raise InputError(f"--device {name}: this machine has none; give --device auto, which takes what there is.")
    cards = torch.cuda.device_count()
    if count > 1 and (kind == "mps" or number or (kind != "cpu" and there["cuda"] and count > cards)):
        has = f"this machine has {cards} graphics cards" if there["cuda"] and not number else f"{name} is one device"
        raise InputError(f"--devices {count}: {has}; give --devices {max(1, cards)} or --device cpu.")
