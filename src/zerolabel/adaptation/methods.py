"""What can be learnt of a model, how, and with which defaults."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from zerolabel.adaptation.few_shot import FEW_SHOT
from zerolabel.adaptation.options import parse_few_shot, parse_solver
from zerolabel.adaptation.transduction import SOLVERS
from zerolabel.adaptation.transduction import defaults as solver_defaults
from zerolabel.errors import InputError, nearest
from zerolabel.learners import LEARNERS
from zerolabel.networks.prompted import OF_CLASSES, kinds
from zerolabel.training.settings import Settings, check_device, make_settings, parse

METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "grip": ("grip", {"prior": "estimated"}),
    "ifpl": ("grip", {"growing": False, "prior": "estimated"}),
    "fpl": ("grip", {"rounds": 1, "growing": False, "prior": "estimated"}),
    "ueo": ("ueo", {"image_rate": 10.0}),
    "infomax": ("tent", {"spread": 1.0}),
    "coop": ("cross_entropy", {}),
    "cocoop": ("cross_entropy", {}),
    "clip-lora": ("cross_entropy", {}),
}
"""Methods that are a learner with other defaults; any learner is a method under its own name.

The papers share pseudo-labels out evenly over the classes. Real pools are not even, so here the share follows the
annotations (``--set prior=uniform`` is the paper's).
"""

PROMPT = {
    "ueo": "text+norm",
    "tent": "norm",
    "infomax": "norm",
    "must": "norm",
    "dpa": "norm",
    "lafter": "classifier+visual+norm",
    "cocoop": "conditional",
    "clip-lora": "lora",
}
"""What a method learns where nothing is asked; of the others, text."""

SUPERVISED = ("coop", "cocoop", "clip-lora", *FEW_SHOT)
"""Methods that learn the images that a person labelled, and those alone."""

ON_FEATURES = {**FEW_SHOT, **SOLVERS}
"""Methods that make a head over the images' features, without a loop of training."""

SETTINGS: dict[str, Any] = {"epochs": 50, "batch_size": 64, "lr": 0.1, "weight_decay": 0.0, "final_lr": 0.0}
"""How methods train where nothing is asked: GRIP's learning rate; the papers have 50 to 150 epochs."""

OWN_SETTINGS: dict[str, dict[str, Any]] = {
    "ueo": {"lr": 0.01, "epochs": 20},
    "tent": {"lr": 0.01, "epochs": 10},
    "infomax": {"lr": 0.1, "epochs": 10},
    "pouf": {"lr": 0.01, "epochs": 20},
    "must": {"lr": 0.01, "epochs": 10},
    "dpa": {"lr": 0.01, "epochs": 10},
    "lafter": {"lr": 5e-4, "epochs": 10, "optimizer": "adamw"},
    "cocoop": {"batch_size": 16, "epochs": 10},
    "clip-lora": {"lr": 2e-4, "optimizer": "adamw", "weight_decay": 1e-2},
}
"""Of single methods: CLIP-LoRA has the paper's, CoCoOp its epochs; the others are ours, for a thousand images."""


@dataclass(frozen=True)
class Request:
    """What is asked.

    Attributes:
        vlm: how the model is named.
        method: a learner, or one of `METHODS` or of `ON_FEATURES`.
        prompt: what is learnt, see `zerolabel.networks.prompted.kinds`.
        hyper_parameters: of the learner, the few-shot method or the solver, over the method's.
        settings: of the training, over the method's.
        flip: whether views may be mirrored.
        propagate: whether scores spread over neighbours (`zerolabel.blocks.label_propagation`) before pseudo-labels are
            chosen; ours, for no paper does.
        open_set: whether images may be of no class, so that the threshold is where confidences part in two groups.
    """

    vlm: str
    method: str = "grip"
    prompt: str | None = None
    hyper_parameters: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    flip: bool = True
    propagate: bool = True
    open_set: bool = False

    @classmethod
    def parse(
        cls,
        vlm: str,
        method: str,
        assignments: Sequence[str] = (),
        *,
        prompt: str | None = None,
        epochs: int | None = None,
        seed: int = 0,
        device: str = "auto",
        flip: bool | None = None,
        propagate: bool = True,
        open_set: bool = False,
    ) -> "Request":
        """From what a user says, ``NAME=VALUE`` texts among it.

        Raises:
            InputError: there is no such method, part, option or device.
        """
        check_device(device)
        mirrored = vlm != "glyphs" if flip is None else flip
        if method in ON_FEATURES:
            if prompt is not None or epochs is not None:
                raise InputError(f"--method {method} learns no prompt by epochs; leave --prompt and --epochs out.")
            read = parse_few_shot if method in FEW_SHOT else parse_solver
            options, fixed = read(method, assignments), {"seed": seed, "device": device}
            return cls(vlm, method, None, options, fixed, mirrored, open_set=open_set)
        chosen = parse(cls(vlm, method).learner, assignments)
        settings = {**chosen.settings, "seed": seed, "device": device, **({"epochs": epochs} if epochs else {})}
        request = cls(vlm, method, prompt, chosen.learner, settings, mirrored, propagate, open_set)
        kinds(request.prompt or "text")
        make_settings(settings)
        return request

    @property
    def learner(self) -> str:
        """Name of the learner.

        Raises:
            InputError: there is no such method.
        """
        if self.method not in METHODS and self.method not in LEARNERS:
            known = {**METHODS, **LEARNERS, **ON_FEATURES}
            raise InputError(f"--method {self.method}: there is no such method{nearest(self.method, known)}")
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
        return set(self.parts) <= {"text", "adapter"} | OF_CLASSES

    def options(self) -> dict[str, Any]:
        """Hyper-parameters of the learner; a solver estimates the class prior, too, where it has one."""
        own = METHODS.get(self.method, ("", {}))[1]
        if self.method in SOLVERS and "prior" in solver_defaults(self.method):
            own = {"prior": "estimated"}
        return {**own, **self.hyper_parameters}

    def training(self) -> Settings:
        """Settings of the training."""
        return Settings(**{**SETTINGS, **OWN_SETTINGS.get(self.method, {}), **self.settings})


__all__ = ["METHODS", "ON_FEATURES", "SUPERVISED", "Request"]
