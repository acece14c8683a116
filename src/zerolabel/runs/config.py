"""A run's folder: what was asked, what is done, and where each result lies."""

import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from zerolabel.errors import InputError
from zerolabel.files import write_text

FRESH = ("chat", "created", "zerolabel", "command", "preset", "truth")
"""What may differ where a run is resumed; the truth may come later, since it takes no part in training."""
OWN = (
    *("stages.json", "log.jsonl", "metrics.json", "evaluation.json", "predictions.parquet"),
    *("annotations.parquet", "test_annotations.parquet", "skipped.csv", "features", "cache", "checkpoints"),
    *("adapted", "classifier", "student", "classifier.onnx", "predict.py", "report.html", "README.md", "config.json"),
)
"""Files and folders that a run writes: all that ``--overwrite`` removes."""
_OPTIONS = {
    "rule": "--candidates",
    "test_images": "--test",
    "aliases": "--classes",
    "encoder": "--vlm",
    "hyper_parameters": "--set",
    "settings": "--set",
}


@dataclass(frozen=True)
class Config:
    """Everything that is needed to run it again; ``config.json``.

    Attributes:
        images: folder or list of the unlabelled images.
        classes: class names.
        aliases: other names of each class.
        vlm: how each annotating model was named.
        templates: the prompts of each of them.
        rule: how votes become candidates.
        learner: name of the algorithm.
        hyper_parameters: what was set of the learner's, over its defaults.
        settings: what was set of `training.Settings`, over its defaults.
        student: name of the network.
        size: side of the student's input in pixels.
        pretrained: whether a timm student starts from pretrained weights.
        encoder: which of the models gives the frozen features where training reads them; none where none can.
        adapt: method by which the encoding model is adapted before it annotates, see `zerolabel.adaptation`; none leaves
            it as it is.
        via: "features" to learn on the model's frozen features first, else None.
        propagate: whether scores spread over the images' neighbours in the model's feature space before training.
        deploy: "one" network or "both".
        open_set: whether images may be of no class, so that the student learns a class "unknown" beside the others.
        flip: whether views may be mirrored.
        strong: which strong view learners get.
        truth: true labels for evaluation alone.
        test_images: images held out of training.
        few_shot: labels given by a person, for training.
        annotations: file of annotations that were there already; none makes them.
        append: annotations that further annotators, and images, are added to.
        chat: how a model that answers in words is asked, without its key; empty where there is none.
        preset: which preset chose the defaults.
        command: the command line.
        zerolabel: version.
        created: ISO date and time.
    """

    images: str
    classes: tuple[str, ...]
    aliases: tuple[tuple[str, ...], ...]
    vlm: tuple[str, ...]
    templates: tuple[tuple[str, ...], ...]
    rule: str
    learner: str
    hyper_parameters: dict[str, Any]
    settings: dict[str, Any]
    student: str
    size: int
    pretrained: bool = False
    encoder: str | None = None
    adapt: str | None = None
    via: str | None = None
    propagate: bool = False
    deploy: str = "one"
    open_set: bool = False
    flip: bool = True
    strong: str = "randaugment"
    truth: str | None = None
    test_images: str | None = None
    few_shot: str | None = None
    annotations: str | None = None
    append: str | None = None
    chat: dict[str, Any] = field(default_factory=dict)
    preset: str = ""
    command: list[str] = field(default_factory=list)
    zerolabel: str = ""
    created: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)

    def to_json(self) -> str:
        """As the text of a file."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Config":
        """Read what `to_json` wrote."""
        raw = json.loads(text)
        raw["classes"], raw["vlm"] = tuple(raw["classes"]), tuple(raw["vlm"])
        raw["templates"] = tuple(tuple(prompts) for prompts in raw["templates"])
        raw["aliases"] = tuple(tuple(names) for names in raw["aliases"])
        return cls(**raw)

    def differences(self, other: "Config") -> list[str]:
        """What two runs do not share, as options of the command line; what is in `FRESH` may differ."""
        own, its = (json.loads(config.to_json()) for config in (self, other))
        found: list[str] = []
        for name in own:
            if name not in FRESH and own[name] != its[name]:
                found += _differing(name, own[name], its[name])
        return list(dict.fromkeys(found))


def _differing(name: str, now: Any, then: Any) -> list[str]:
    """The options that make two values of a field differ."""
    option = _OPTIONS.get(name, f"--{name.replace('_', '-')}")
    if not isinstance(now, dict):
        return [option]
    keys = [key for key in {**then, **now} if now.get(key) != then.get(key)]
    return [f"--{key}" if key in ("epochs", "seed", "device") else f"{option} {key}" for key in keys]


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
        write_text(folder.config_file, config.to_json())
        return folder

    def clear(self) -> None:
        """Remove what a run writes and nothing else, ``config.json`` last."""
        for path in (*self.path.glob(".*.partial"), *(self / name for name in OWN)):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def _enter(self, config: Config, *, resume: bool, overwrite: bool) -> None:
        inside = {entry.name for entry in self.path.iterdir() if not entry.name.endswith(".partial")}
        if not inside:
            return
        if "config.json" not in inside:
            raise InputError(f"{self.path} holds files that are no run of zerolabel; give -o an empty or new folder.")
        differing = config.differences(self.config())
        if overwrite or inside == {"config.json"}:
            self.clear()
        elif not resume:
            raise InputError(f"{self.path} holds another run; give --resume to finish it or --overwrite to replace it.")
        elif differing:
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
            return Config.from_json(self.config_file.read_text(encoding="utf-8"))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise InputError(
                f"{self.config_file} is damaged or no run's; give -o another folder, or remove this one if it is a run."
            ) from None

    def finish(self, stage: str, facts: dict[str, Any]) -> None:
        """Note that a stage is done, with its numbers."""
        write_text(self / "stages.json", json.dumps({**self.finished(), stage: facts}, indent=2) + "\n")

    def finished(self) -> dict[str, dict[str, Any]]:
        """The stages that are done, with their numbers.

        Raises:
            InputError: ``stages.json`` is damaged.
        """
        path = self / "stages.json"
        if not path.is_file():
            return {}
        try:
            stages: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            raise InputError(f"{path} is damaged; remove it, and its stages are done again with --resume.") from None
        return stages
