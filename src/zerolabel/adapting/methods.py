"""What can be learnt of a model, how, and with which defaults."""

from dataclasses import dataclass, field
from typing import Any

from zerolabel.errors import InputError, nearest
from zerolabel.learners import LEARNERS
from zerolabel.networks.prompted import kinds
from zerolabel.training import Settings

METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "grip": ("grip", {"prior": "estimated"}),
    "ifpl": ("grip", {"growing": False, "prior": "estimated"}),
    "fpl": ("grip", {"rounds": 1, "growing": False, "prior": "estimated"}),
    "ueo": ("ueo", {"image_rate": 10.0}),
    "infomax": ("tent", {"spread": 1.0}),
    "coop": ("cross_entropy", {}),
    "clip-lora": ("cross_entropy", {}),
}
"""Methods that are a learner with other defaults; any learner is a method under its own name.

The papers share pseudo-labels out evenly over the classes. Real pools are not even, so here the share follows the
annotations (``--set prior=uniform`` is the paper's).
"""

PROMPT = {"ueo": "text+norm", "tent": "norm", "infomax": "norm", "clip-lora": "lora"}
"""What a method learns where nothing is asked; of the others, text."""

SUPERVISED = ("coop", "clip-lora")
"""Methods that learn the images that a person labelled, and those alone."""

SETTINGS: dict[str, Any] = {"epochs": 50, "batch_size": 64, "lr": 0.1, "weight_decay": 0.0, "final_lr": 0.0}
"""How methods train where nothing is asked: GRIP's learning rate; the papers have 50 to 150 epochs."""

OWN_SETTINGS: dict[str, dict[str, Any]] = {
    "ueo": {"lr": 0.01, "epochs": 20},
    "tent": {"lr": 0.01, "epochs": 10},
    "infomax": {"lr": 0.1, "epochs": 10},
    "clip-lora": {"lr": 2e-4, "optimizer": "adamw", "weight_decay": 1e-2},
}
"""Of single methods: CLIP-LoRA has the paper's; the others are ours, for pools of a thousand images."""


@dataclass(frozen=True)
class Request:
    """What is asked.

    Attributes:
        vlm: how the model is named.
        method: a learner, or one of `METHODS`.
        prompt: what is learnt, see `zerolabel.networks.prompted.kinds`.
        hyper_parameters: of the learner, over the method's.
        settings: of the training, over the method's.
        flip: whether views may be mirrored.
        propagate: whether scores spread over neighbours (`zerolabel.propagation`) before pseudo-labels are chosen;
            ours, for no paper does.
    """

    vlm: str
    method: str = "grip"
    prompt: str | None = None
    hyper_parameters: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    flip: bool = True
    propagate: bool = True

    @property
    def learner(self) -> str:
        """Name of the learner.

        Raises:
            InputError: there is no such method.
        """
        if self.method not in METHODS and self.method not in LEARNERS:
            raise InputError(
                f"--method {self.method}: there is no such method{nearest(self.method, {**METHODS, **LEARNERS})}"
            )
        return METHODS.get(self.method, (self.method, {}))[0]

    @property
    def parts(self) -> tuple[str, ...]:
        """What is learnt.

        Raises:
            InputError: there is no such part.
        """
        return kinds(self.prompt or PROMPT.get(self.method, "text"))

    @property
    def on_features(self) -> bool:
        """Whether the images' features stay as they are, so that one pass over the images is enough."""
        return set(self.parts) <= {"text", "adapter"}

    def options(self) -> dict[str, Any]:
        """Hyper-parameters of the learner."""
        return {**METHODS.get(self.method, ("", {}))[1], **self.hyper_parameters}

    def training(self) -> Settings:
        """Settings of the training."""
        return Settings(**{**SETTINGS, **OWN_SETTINGS.get(self.method, {}), **self.settings})


__all__ = ["METHODS", "SUPERVISED", "Request"]
