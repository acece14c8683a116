"""Complete configuration of a run, in one frozen part per stage."""

import json
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from zerolabel.data.classes import Classes
from zerolabel.errors import InputError
from zerolabel.errors.redaction import redacted_data
from zerolabel.files.plain_json import dumps

HEADS = ("linear", "mlp")
IMITATION = "distillation"
"""The learner that imitates scores."""
"""Students that read frozen features; all others read pixels. As `zerolabel.networks.base` has them."""
OWN_STUDENTS = ("light", "preact_resnet18", *HEADS)
"""Students that have no pretrained weights; all others are timm's."""
FRESH = ("chat", "created", "zerolabel", "command", "preset", "truth")
"""Entries that may change on resume; true labels may be added, since training does not read them."""
_PLACES = ("images", "truth", "test_images", "few_shot", "annotations", "append", "chat", "command")
"""Entries that may contain URLs."""
_OPTIONS = {
    "learner": "--method",
    "rule": "--candidates",
    "test_images": "--test",
    "aliases": "--classes",
    "encoder": "--vlm",
    "feature_precision": "--store-features",
    "vision_encoders": "--encoder",
    "hyper_parameters": "--set",
    "settings": "--set",
    "asked_time": "--time",
}


@dataclass(frozen=True)
class DataConfig:
    """Which images, classes and labels given by people a run reads.

    Attributes:
        images: folder or list of the unlabeled images.
        classes: class names.
        aliases: other names of each class.
        truth: true labels for evaluation only.
        test_images: images held out of training.
        few_shot: human labels, for training.
        open_set: True if images may be of no class, so that the student learns a class "unknown" beside the others.
    """

    images: str
    classes: tuple[str, ...]
    aliases: tuple[tuple[str, ...], ...]
    truth: str | None = None
    test_images: str | None = None
    few_shot: str | None = None
    open_set: bool = False

    @property
    def names(self) -> Classes:
        """Class names with their aliases."""
        return Classes(self.classes, self.aliases)


@dataclass(frozen=True)
class AnnotatingModel:
    """A model that annotates.

    Attributes:
        name: as after ``--vlm``, see `zerolabel.vlms.names`.
        templates: its prompts.
    """

    name: str
    templates: tuple[str, ...]


@dataclass(frozen=True)
class AnnotationConfig:
    """Models and prompts that annotate, or existing annotations.

    Attributes:
        models: the annotating models, each with its prompts.
        rule: how votes become candidate sets.
        precision: in which the models encode images: "float32", "bfloat16", or "auto" for the fastest on the device.
        feature_precision: in which image features are stored, "float32" or "float16".
        prompt_weights: "estimated" without labels, or "uniform", where scores are the mean over prompts.
        encoder: name of the model whose frozen features are read; None if no model has any.
        vision_encoders: names of encoders without texts, whose features are read beside.
        adapt: method by which the encoder is adapted before it annotates, see `zerolabel.adaptation.methods`; None
            leaves it as it is.
        annotations: file of finished annotations to train on; None makes them.
        allow_changed: True to leave out images whose content is not the one that was annotated.
        append: annotations to which further annotators and images are added.
        chat: how chat models are called, without the key; empty if there are none.
    """

    models: tuple[AnnotatingModel, ...]
    rule: str
    encoder: str | None = None
    vision_encoders: tuple[str, ...] = ()
    adapt: str | None = None
    annotations: str | None = None
    allow_changed: bool = False
    append: str | None = None
    prompt_weights: str = "uniform"
    precision: str = "auto"
    feature_precision: str = "float32"
    chat: dict[str, Any] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the annotating models."""
        return tuple(model.name for model in self.models)

    @property
    def templates(self) -> dict[str, tuple[str, ...]]:
        """Prompts of each annotating model, by its name."""
        return {model.name: model.templates for model in self.models}

    @property
    def required_encoder(self) -> str:
        """Name of the encoder.

        Raises:
            InputError: no annotating model has image features.
        """
        if self.encoder is None:
            raise InputError("no annotating model has features to read; train a student that reads pixels.")
        return self.encoder


@dataclass(frozen=True)
class TrainingConfig:
    """Which student is trained, by which learner, on what.

    Attributes:
        learner: name of the algorithm.
        hyper_parameters: of the learner, over its defaults.
        settings: of `zerolabel.training.settings.Settings`, over its defaults.
        student: name of the network.
        size: side of the student's input in pixels.
        pretrained: True if a timm student starts from pretrained weights.
        via: "features" to learn on frozen features first, else None.
        propagate: True if scores spread over the images' neighbors in feature space before training.
        stack: True if features are read so that human labels count on every image, see
            `zerolabel.adaptation.few_shot.stacking`.
        set_aside: share of the images that is not learned, by which the network is chosen and alarms are raised.
        flip: True if views may be mirrored.
        strong: which strong view learners get.
        time: seconds that the run may take; None sets no limit.
        asked_time: the value of ``--time``.
    """

    learner: str
    hyper_parameters: dict[str, Any]
    settings: dict[str, Any]
    student: str
    size: int
    pretrained: bool = False
    via: str | None = None
    propagate: bool = False
    stack: bool = False
    set_aside: float = 0.0
    flip: bool = True
    strong: str = "randaugment"
    time: float | None = None
    asked_time: str | None = None

    @property
    def device(self) -> str:
        """Torch device, or "auto"."""
        return str(self.settings.get("device", "auto"))

    @property
    def imitating(self) -> "TrainingConfig":
        """This configuration with a student that imitates scores as they are."""
        return replace(self, learner=IMITATION, hyper_parameters={}, propagate=False)


@dataclass(frozen=True)
class DeploymentConfig:
    """Number of deployed networks.

    Attributes:
        deploy: "one" network or "both".
    """

    deploy: str = "one"


@dataclass(frozen=True)
class Config:
    """Everything that is needed to repeat a run; ``config.json``.

    Attributes:
        data: images, classes and human labels.
        annotation: models, prompts and rule.
        training: student, learner and settings.
        deployment: what is deployed.
        preset: which preset chose the defaults.
        command: the command line.
        zerolabel: version.
        created: ISO date and time.
    """

    data: DataConfig
    annotation: AnnotationConfig
    training: TrainingConfig
    deployment: DeploymentConfig = DeploymentConfig()
    preset: str = ""
    command: list[str] = field(default_factory=list)
    zerolabel: str = ""
    created: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, by the names of the options; passwords and tokens in URLs are not in it."""
        nested = asdict(self)
        flat: dict[str, Any] = {}
        for part in _PARTS:
            flat |= nested.pop(part)
        models = flat.pop("models")
        flat |= {"vlm": [one["name"] for one in models], "templates": [one["templates"] for one in models], **nested}
        return flat | {name: redacted_data(flat[name]) for name in _PLACES}

    def to_json(self) -> str:
        """Serialize to JSON."""
        return dumps(self.to_dict(), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Config":
        """Read what `to_json` wrote."""
        raw = json.loads(text)
        models = zip(raw.pop("vlm"), raw.pop("templates"), strict=True)
        raw["models"] = tuple(AnnotatingModel(name, tuple(templates)) for name, templates in models)
        raw["vision_encoders"] = tuple(raw.get("vision_encoders", ()))
        raw["classes"], raw["aliases"] = tuple(raw["classes"]), tuple(tuple(names) for names in raw["aliases"])
        raw["vision_encoders"] = tuple(raw.get("vision_encoders", ()))
        parts = {
            name: part(**{f.name: raw.pop(f.name) for f in fields(part) if f.name in raw})
            for name, part in _PARTS.items()
        }
        return cls(**parts, **raw)

    def differences(self, other: "Config") -> list[str]:
        """Options that differ between two runs, except those in `FRESH`."""
        own, its = (json.loads(config.to_json()) for config in (self, other))
        found: list[str] = []
        for name in own:
            if name not in FRESH and own[name] != its[name]:
                found += _differing(name, own[name], its[name])
        return list(dict.fromkeys(found))


_PARTS: dict[str, Any] = {
    "data": DataConfig,
    "annotation": AnnotationConfig,
    "training": TrainingConfig,
    "deployment": DeploymentConfig,
}


def _differing(name: str, now: object, then: object) -> list[str]:
    """The options that make two values of a field differ."""
    option = _OPTIONS.get(name, f"--{name.replace('_', '-')}")
    if not (isinstance(now, dict) and isinstance(then, dict)):
        return [option]
    keys = [key for key in {**then, **now} if now.get(key) != then.get(key)]
    return [f"--{key}" if key in ("epochs", "seed", "device") else f"{option} {key}" for key in keys]
