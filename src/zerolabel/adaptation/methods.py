"""What can be learned of a model, how, and with which defaults."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from zerolabel.adaptation.few_shot import FEW_SHOT
from zerolabel.adaptation.options import parse_few_shot, parse_solver
from zerolabel.adaptation.transduction import SOLVERS
from zerolabel.adaptation.transduction import defaults as solver_defaults
from zerolabel.data.views.sources import CROPS
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
"""Methods that learn the images that a person labeled, and those alone."""

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
class Published:
    """Values of a method in its authors' code.

    Attributes:
        settings: of the training.
        hyper_parameters: of the learner.
        start: see `Request`.
        crop: see `Request`.
    """

    settings: dict[str, Any]
    hyper_parameters: dict[str, Any]
    start: str = "words"
    crop: str = "padding"


STARTS = ("words", "random")
"""Where learned tokens before a text start: from the words of a template, or at random, 16 of N(0, 0.02)."""

GRIP = {"lr": 0.1, "weight_decay": 0.1, "batch_size": 16, "lr_warm_up": 5}

PUBLISHED = {
    "ueo": Published(
        {"lr": 1e-4, "momentum": 0.0, "batch_size": 64, "epochs": 50, "lr_per_step": True},
        {"image_rate": 1.0},
        crop="resized",
    ),
    "grip": Published({**GRIP, "epochs": 1500, "cycles": 10}, {"prior": "uniform", "boards": True}, "random"),
    "ifpl": Published({**GRIP, "epochs": 1500, "cycles": 10}, {"prior": "uniform", "boards": True}, "random"),
    "fpl": Published({**GRIP, "epochs": 150}, {"prior": "uniform", "boards": True}, "random"),
}
"""Of ``--preset paper``. UEO's learning rate of 1e-4 without momentum is a thousandth of the default's effect and made
for thousands of steps; GRIP's 1,500 epochs are made for a GPU."""


@dataclass(frozen=True)
class Request:
    """What is asked.

    Attributes:
        vlm: how the model is named.
        method: a learner, or one of `METHODS` or of `ON_FEATURES`.
        prompt: what is learned, see `zerolabel.networks.prompted.kinds`.
        hyper_parameters: of the learner, the few-shot method or the solver, over the method's.
        settings: of the training, over the method's.
        flip: whether views may be mirrored.
        propagate: whether scores spread over neighbors (`zerolabel.blocks.label_propagation`) before pseudo-labels are
            chosen; ours, for no paper does.
        open_set: whether images may be of no class, so that the threshold is where confidences part in two groups.
        start: where learned tokens before a text start, see `STARTS`.
        crop: which weak view of pixels, "padding" or "resized", see `zerolabel.data.views.Pixels`.
    """

    vlm: str
    method: str = "grip"
    prompt: str | None = None
    hyper_parameters: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    flip: bool = True
    propagate: bool = True
    open_set: bool = False
    start: str = "words"
    crop: str = "padding"

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
        preset: str | None = None,
        start: str | None = None,
        crop: str | None = None,
    ) -> "Request":
        """From what a user says, ``NAME=VALUE`` texts among it.

        Args:
            vlm: how the model is named.
            method: see `Request`.
            assignments: texts such as ``lr=0.1``, over the preset's.
            prompt: see `Request`.
            epochs: of the training.
            seed: of the training.
            device: of the training.
            flip: whether views may be mirrored.
            propagate: see `Request`; never with the preset "paper".
            open_set: see `Request`.
            preset: "paper" takes the values of the authors' code, see `PUBLISHED`; none takes those made here.
            start: see `Request`; none leaves it to the preset.
            crop: see `Request`; none leaves it to the preset.

        Raises:
            InputError: there is no such method, part, option, preset or device.
        """
        check_device(device)
        mirrored = vlm != "glyphs" if flip is None else flip
        if method in ON_FEATURES:
            if prompt is not None or epochs is not None:
                raise InputError(f"--method {method} learns no prompt by epochs; leave --prompt and --epochs out.")
            if (preset, start, crop) != (None, None, None):
                raise InputError(f"--method {method} has no --preset, --start or --crop; leave them out.")
            read = parse_few_shot if method in FEW_SHOT else parse_solver
            options, fixed = read(method, assignments), {"seed": seed, "device": device}
            return cls(vlm, method, None, options, fixed, mirrored, open_set=open_set)
        chosen, paper = parse(cls(vlm, method).learner, assignments), published(method, preset)
        settings = {**paper.settings, **chosen.settings, "seed": seed, "device": device}
        settings |= {"epochs": epochs} if epochs else {}
        request = cls(
            vlm, method, prompt, {**paper.hyper_parameters, **chosen.learner}, settings, mirrored,
            propagate and preset is None, open_set, one_of("--start", start or paper.start, STARTS),
            one_of("--crop", crop or paper.crop, CROPS),
        )  # fmt: skip
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
        """What is learned.

        Raises:
            InputError: there is no such part.
        """
        return kinds(self.prompt or PROMPT.get(self.method, "text"))

    @property
    def on_features(self) -> bool:
        """Whether the images' features stay as they are, so that one pass over the images is enough."""
        return set(self.parts) <= {"text", "adapter"} | OF_CLASSES and self.crop == "padding"

    def options(self) -> dict[str, Any]:
        """Hyper-parameters of the learner; a solver estimates the class prior, too, where it has one."""
        own = METHODS.get(self.method, ("", {}))[1]
        if self.method in SOLVERS and "prior" in solver_defaults(self.method):
            own = {"prior": "estimated"}
        return {**own, **self.hyper_parameters}

    def training(self) -> Settings:
        """Settings of the training."""
        return Settings(**{**SETTINGS, **OWN_SETTINGS.get(self.method, {}), **self.settings})


def published(method: str, preset: str | None) -> Published:
    """What a preset sets; nothing without one.

    Raises:
        InputError: there is no such preset, or none of this method.
    """
    if preset is None:
        return Published({}, {})
    if one_of("--preset", preset, ("paper",)) == "paper" and method not in PUBLISHED:
        raise InputError(
            f"--preset paper is there for {', '.join(PUBLISHED)}, not for --method {method}; leave it out."
        )
    return PUBLISHED[method]


def one_of(option: str, value: str, known: Sequence[str]) -> str:
    """The value, where it is known.

    Raises:
        InputError: it is not.
    """
    if value not in known:
        raise InputError(f"{option} {value}: there is no such choice{nearest(value, known)}")
    return value


__all__ = ["METHODS", "ON_FEATURES", "PUBLISHED", "SUPERVISED", "Published", "Request"]
