"""A run's folder: what was asked, what is done, and where each result lies."""

import json
import os
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from zerolabel.errors import InputError

FRESH = ("created", "zerolabel", "command")


@dataclass(frozen=True)
class Config:
    """Everything that is needed to run it again; ``config.json``.

    Attributes:
        images: folder or list of the unlabelled images.
        classes: class names.
        aliases: other names of each class.
        vlm: how the model was named.
        templates: the prompts.
        rule: how votes become candidates.
        learner: name of the algorithm.
        hyper_parameters: what was set of the learner's, over its defaults.
        settings: what was set of `training.Settings`, over its defaults.
        student: name of the network.
        size: side of the student's input in pixels.
        pretrained: whether a timm student starts from pretrained weights.
        via: "features" to learn on the model's frozen features first, else None.
        deploy: "one" network or "both".
        flip: whether views may be mirrored.
        truth: true labels for evaluation alone.
        test_images: images held out of training.
        few_shot: labels given by a person, for training.
        annotations: file of annotations that were there already; none makes them.
        preset: which preset chose the defaults.
        command: the command line.
        zerolabel: version.
        created: ISO date and time.
    """

    images: str
    classes: tuple[str, ...]
    aliases: tuple[tuple[str, ...], ...]
    vlm: str
    templates: tuple[str, ...]
    rule: str
    learner: str
    hyper_parameters: dict[str, Any]
    settings: dict[str, Any]
    student: str
    size: int
    pretrained: bool = False
    via: str | None = None
    deploy: str = "one"
    flip: bool = True
    truth: str | None = None
    test_images: str | None = None
    few_shot: str | None = None
    annotations: str | None = None
    preset: str = ""
    command: list[str] = field(default_factory=list)
    zerolabel: str = ""
    created: str = ""

    def to_json(self) -> str:
        """As the text of a file."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Config":
        """Read what `to_json` wrote."""
        raw = json.loads(text)
        raw["classes"], raw["templates"] = tuple(raw["classes"]), tuple(raw["templates"])
        raw["aliases"] = tuple(tuple(names) for names in raw["aliases"])
        return cls(**raw)

    def differences(self, other: "Config") -> list[str]:
        """Names of the fields in which two runs differ, apart from date, version and command line."""
        own, its = (json.loads(config.to_json()) for config in (self, other))
        return [name for name in own if name not in FRESH and own[name] != its[name]]


@dataclass(frozen=True)
class Folder:
    """The folder of one run, and the names of the files in it."""

    path: Path

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    @property
    def config_file(self) -> Path:
        """``config.json``."""
        return self / "config.json"

    @classmethod
    def open(cls, path: Path, config: Config, *, resume: bool, overwrite: bool) -> "Folder":
        """Make the folder, or go on in it.

        Raises:
            InputError: it holds another run, or files that are no run, or cannot be made.
        """
        folder = cls(path)
        if path.exists() and not path.is_dir():
            raise InputError(f"{path} is a file; give -o a folder.")
        if path.is_dir() and any(path.iterdir()):
            folder._enter(config, resume=resume, overwrite=overwrite)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"the folder {path} cannot be made ({error.strerror}); give -o another place.") from None
        if not folder.config_file.exists():
            write_text(folder.config_file, config.to_json())
        return folder

    def _enter(self, config: Config, *, resume: bool, overwrite: bool) -> None:
        if not self.config_file.is_file():
            raise InputError(f"{self.path} holds files that are no run of zerolabel; give -o an empty or new folder.")
        if overwrite:
            shutil.rmtree(self.path)
            return
        if not resume:
            raise InputError(f"{self.path} holds another run; give --resume to finish it or --overwrite to replace it.")
        differing = config.differences(self.config())
        if differing:
            raise InputError(
                f"{self.path} holds a run with another {', '.join(differing)}; repeat its options, or give --overwrite."
            )

    def config(self) -> Config:
        """What was asked.

        Raises:
            InputError: the folder holds no run, or its ``config.json`` is damaged.
        """
        if not self.config_file.is_file():
            raise InputError(f"{self.path} holds no run of zerolabel: there is no config.json in it.")
        try:
            return Config.from_json(self.config_file.read_text())
        except (ValueError, KeyError, TypeError):
            raise InputError(f"{self.config_file} is damaged; give --overwrite to start the run again.") from None

    def finish(self, stage: str, facts: dict[str, Any]) -> None:
        """Note that a stage is done, with its numbers."""
        write_text(self / "stages.json", json.dumps({**self.finished(), stage: facts}, indent=2) + "\n")

    def finished(self) -> dict[str, dict[str, Any]]:
        """The stages that are done, with their numbers."""
        path = self / "stages.json"
        return json.loads(path.read_text()) if path.is_file() else {}


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
