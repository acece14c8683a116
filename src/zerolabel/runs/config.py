"""A run's folder: what was asked, what is done, and where each result lies."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from zerolabel.errors.redaction import redacted_data
from zerolabel.files.plain_json import dumps

FRESH = ("chat", "created", "zerolabel", "command", "preset", "truth")
"""What may differ where a run is resumed; the truth may come later, since it takes no part in training."""
_PLACES = ("images", "truth", "test_images", "few_shot", "annotations", "append", "chat", "command")
"""What may hold URLs."""
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
        images: folder or list of the unlabeled images.
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
        adapt: method by which the encoding model is adapted before it annotates, see `zerolabel.adaptation`; none
            leaves it as it is.
        via: "features" to learn on the model's frozen features first, else None.
        propagate: whether scores spread over the images' neighbors in the model's feature space before training.
        deploy: "one" network or "both".
        open_set: whether images may be of no class, so that the student learns a class "unknown" beside the others.
        flip: whether views may be mirrored.
        strong: which strong view learners get.
        truth: true labels for evaluation alone.
        test_images: images held out of training.
        few_shot: labels given by a person, for training.
        annotations: file of annotations that were there already; none makes them.
        allow_changed: whether images are left out whose content is not the one that was annotated.
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
    allow_changed: bool = False
    append: str | None = None
    chat: dict[str, Any] = field(default_factory=dict)
    preset: str = ""
    command: list[str] = field(default_factory=list)
    zerolabel: str = ""
    created: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; passwords and tokens in URLs are not in it."""
        data = asdict(self)
        return data | {name: redacted_data(data[name]) for name in _PLACES}

    def to_json(self) -> str:
        """As the text of a file."""
        return dumps(self.to_dict(), indent=2) + "\n"

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
