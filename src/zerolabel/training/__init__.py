"""The one training loop and what drives it."""

from zerolabel.training.loop import EpochLog, Source, best_device, predict, time_epoch, train
from zerolabel.training.settings import Settings

__all__ = ["EpochLog", "Settings", "Source", "best_device", "predict", "time_epoch", "train"]
