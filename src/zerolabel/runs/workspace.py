"""Folder, cache, progress display and loaded models of a run."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zerolabel import vlms
from zerolabel.data.views import Preprocess
from zerolabel.runs.config import Config
from zerolabel.runs.folder import Folder
from zerolabel.training import best_device
from zerolabel.vlms import vision
from zerolabel.vlms.encoder import Encoder
from zerolabel.vlms.vision import EmbeddedVision, VisionEncoder

Progress = Callable[[str, Iterator[Any]], Iterable[Any]]
"""Wraps the steps of a stage, given the stage's name, and displays them."""


@dataclass(frozen=True)
class Workspace:
    """Everything that the stages of a run share besides the configuration.

    Attributes:
        folder: the run's folder.
        progress: displays the steps of each stage.
        cache: folder of image features and chat answers, shared between runs.
        device: torch device of the models, or "auto".
        precision: in which the models encode images, or "auto".
        feature_precision: in which image features are stored.
        engine: engine of annotation, "local" or "ray"; see `zerolabel.annotate.write`.
        ray_address: address of a cluster for the engine "ray".
        started: time by `time.perf_counter` at which the command began.
        trackers: that the epochs of a training are written to, of `zerolabel.training.trackers.TRACKERS`.
    """

    folder: Folder
    progress: Progress
    cache: Path
    device: str = "auto"
    precision: str = "auto"
    feature_precision: str = "float32"
    engine: str = "local"
    ray_address: str | None = None
    started: float = field(default_factory=time.perf_counter, compare=False)
    trackers: tuple[str, ...] = ()
    _loaded: dict[str, Encoder] = field(default_factory=dict, init=False, repr=False, compare=False)
    _vision: dict[str, VisionEncoder | EmbeddedVision] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def elapsed(self) -> float:
        """Seconds since the command began."""
        return time.perf_counter() - self.started

    @classmethod
    def of(
        cls, config: Config, folder: Folder, progress: Progress, cache: Path, engine: str = "local",
        ray_address: str | None = None, started: float | None = None, trackers: tuple[str, ...] = (),
    ) -> "Workspace":  # fmt: skip
        """Workspace of a run, with the device and precisions of its configuration."""
        annotation, device = config.annotation, config.training.device
        precisions = annotation.precision, annotation.feature_precision
        began = time.perf_counter() if started is None else started
        return cls(folder, progress, cache, device, *precisions, engine, ray_address, began, trackers)

    def model(self, name: str) -> Encoder:
        """A vision-language model by its name, loaded once.

        Raises:
            InputError: there is no such model, or it cannot be downloaded.
        """
        if name not in self._loaded:
            self._loaded[name] = vlms.load(name, best_device(self.device), self.precision, self.feature_precision)
        return self._loaded[name]

    def vision(self, name: str, view: Preprocess | None) -> VisionEncoder | EmbeddedVision:
        """A vision-only encoder by its name, loaded once.

        Raises:
            InputError: there is no such encoder, or it cannot be downloaded.
        """
        if name not in self._vision:
            self._vision[name] = vision.load(name, best_device(self.device), view)
        return self._vision[name]

    def is_loaded(self, name: str) -> bool:
        """True if the model is already in memory."""
        return name in self._loaded

    @property
    def adapted(self) -> Path:
        """Folder of the encoder that the run adapted."""
        return self.folder / "adapted"


__all__ = ["Progress", "Workspace"]
