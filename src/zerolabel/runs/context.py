"""What every stage of a run is given: the configuration, the folder, and the models that were loaded."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zerolabel import vlms
from zerolabel.data.classes import Classes
from zerolabel.errors import InputError
from zerolabel.runs.config import Config
from zerolabel.runs.folder import Folder
from zerolabel.training import best_device
from zerolabel.vlms.clip import DualEncoder

Progress = Callable[[str, Iterator[Any]], Iterable[Any]]
"""Wraps the steps of a stage, given the stage's name, and shows them as they pass."""


@dataclass(frozen=True)
class Context:
    """One run at work; what was finished before it was interrupted is not done again.

    Attributes:
        config: the options of the run.
        folder: where its files are written.
        progress: shows the steps of each stage.
        cache: folder of image features, shared between runs.
        engine: what annotates, "local" or "ray"; see `zerolabel.annotate.write`.
        ray_address: address of a cluster, for the engine "ray".
    """

    config: Config
    folder: Folder
    progress: Progress
    cache: Path
    engine: str = "local"
    ray_address: str | None = None
    _loaded: dict[str, DualEncoder] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def classes(self) -> Classes:
        """Class names with their aliases."""
        return self.config.data.names

    def templates(self, name: str) -> tuple[str, ...]:
        """The prompt templates of an annotating model."""
        return self.config.annotation.templates[name]

    def model(self, name: str) -> DualEncoder:
        """A vision-language model by its name, loaded once.

        Raises:
            InputError: there is no such model, or it cannot be downloaded.
        """
        if name not in self._loaded:
            self._loaded[name] = vlms.load(name, best_device(self.config.training.settings.get("device", "auto")))
        return self._loaded[name]

    def is_loaded(self, name: str) -> bool:
        """True if the model is in memory already."""
        return name in self._loaded

    @property
    def encoder(self) -> DualEncoder:
        """The model whose frozen features training reads.

        Raises:
            InputError: no annotating model has image features.
        """
        if self.config.annotation.encoder is None:
            raise InputError("no annotating model has features to read; train a student that reads pixels.")
        return self.model(self.config.annotation.encoder)
