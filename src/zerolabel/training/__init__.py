"""The one training loop and what drives it.

Its names are imported when they are first used, so that a plan that reads settings alone does not load Lightning.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zerolabel.training.loop import EpochLog, Source, best_device, predict, time_epoch, train
    from zerolabel.training.settings import Settings

_NAMES = ("EpochLog", "Settings", "Source", "best_device", "predict", "time_epoch", "train")


def __getattr__(name: str) -> object:
    if name not in _NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{'settings' if name == 'Settings' else 'loop'}"), name)


__all__ = ["EpochLog", "Settings", "Source", "best_device", "predict", "time_epoch", "train"]
