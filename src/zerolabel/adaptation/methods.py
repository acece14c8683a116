"""The table of adaptation methods, as plain data: it is read for the help, so it imports no model."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

SETTINGS: dict[str, Any] = {"epochs": 50, "batch_size": 64, "lr": 0.1, "weight_decay": 0.0, "final_lr": 0.0}
"""Training settings of a method that has none of its own: GRIP's learning rate; the papers have 50 to 150 epochs."""


_NONE: Mapping[str, Any] = MappingProxyType({})


class Published(NamedTuple):
    """Values of a method in its authors' code.

    Attributes:
        settings: of the training.
        hyper_parameters: of the learner.
        start: see `zerolabel.adaptation.request.Request`.
        crop: see `zerolabel.adaptation.request.Request`.
    """

    settings: Mapping[str, Any] = _NONE
    hyper_parameters: Mapping[str, Any] = _NONE
    start: str = "words"
    crop: str = "padding"


class Method(NamedTuple):
    """One adaptation method.

    Attributes:
        learner: name of the learner that trains parts of the model. None for a head over fixed image features, which
            takes one pass: a few-shot method if it needs labels, else a solver.
        hyper_parameters: defaults of the learner or the solver that differ from its own.
        settings: training settings that differ from `SETTINGS`.
        tune: the parts that are tuned, see `zerolabel.networks.prompted.kinds`.
        needs_labels: True if only images with a human label are learned.
        published: values of ``--preset paper``; None if there are none.
    """

    learner: str | None
    hyper_parameters: Mapping[str, Any] = _NONE
    settings: Mapping[str, Any] = _NONE
    tune: str = "text"
    needs_labels: bool = False
    published: Published | None = None


_GRIP = {"lr": 0.1, "weight_decay": 0.1, "batch_size": 16, "lr_warm_up": 5}
_PAPER = {"prior": "uniform", "boards": True}
_COOP = {"lr": 2e-3, "weight_decay": 5e-4, "batch_size": 32, "lr_warm_up": 1}
"""Of CoOp's code, whose rate in the first epoch is 1e-5; UPL's has the same."""

METHODS: dict[str, Method] = {
    "grip": Method(
        "grip",
        {"prior": "estimated"},
        published=Published({**_GRIP, "epochs": 1500, "cycles": 10}, _PAPER, start="random"),
    ),
    "fpl": Method(
        "grip",
        {"rounds": 1, "growing": False, "prior": "estimated"},
        published=Published({**_GRIP, "epochs": 150}, _PAPER, start="random"),
    ),
    "ifpl": Method(
        "grip",
        {"growing": False, "prior": "estimated"},
        published=Published({**_GRIP, "epochs": 1500, "cycles": 10}, _PAPER, start="random"),
    ),
    "cpl": Method("cpl"),
    "upl": Method("upl", published=Published({**_COOP, "epochs": 50}, start="random", crop="resized")),
    "ueo": Method(
        "ueo",
        {"image_rate": 10.0},
        {"lr": 0.01, "epochs": 20},
        "text+norm",
        published=Published(
            {"lr": 1e-4, "momentum": 0.0, "batch_size": 64, "epochs": 50, "lr_per_step": True},
            {"image_rate": 1.0},
            crop="resized",
        ),
    ),
    "tent": Method(
        "tent",
        settings={"lr": 0.01, "epochs": 10},
        tune="norm",
        published=Published({"optimizer": "adamw", "lr": 1e-3, "final_lr": 1.0, "batch_size": 200, "epochs": 1}),
    ),
    "infomax": Method("tent", {"spread": 1.0}, {"lr": 0.1, "epochs": 10}, "norm"),
    "pouf": Method("pouf", settings={"lr": 0.01, "epochs": 20}),
    "must": Method("must", settings={"lr": 0.01, "epochs": 10}, tune="norm"),
    "dpa": Method(
        "dpa",
        {"classifier_rate": 100.0},
        {"lr": 1e-5, "epochs": 15, "optimizer": "adamw"},
        "classifier+norm",
    ),
    "lafter": Method(
        "lafter", settings={"lr": 5e-4, "epochs": 10, "optimizer": "adamw"}, tune="classifier+visual+norm"
    ),
    "stata": Method(None, {"prior": "estimated"}),
    "moon": Method(None, {"prior": "estimated"}),
    "transclip": Method(None, {"prior": "estimated"}),
    "zlap": Method(None, {"prior": "estimated"}),
    "em_dirichlet": Method(None),
    "knn": Method(None),
    "gpua": Method(None, {"prior": "estimated"}),
    "coop": Method(
        "cross_entropy",
        needs_labels=True,
        published=Published({**_COOP, "epochs": 200}, {"view": "weak"}, start="random", crop="resized"),
    ),
    "cocoop": Method(
        "cross_entropy",
        settings={"batch_size": 16, "epochs": 10},
        tune="conditional",
        needs_labels=True,
        published=Published({**_COOP, "batch_size": 1, "epochs": 10}, {"view": "weak"}, crop="resized"),
    ),
    "clip-lora": Method(
        "cross_entropy",
        settings={"lr": 2e-4, "optimizer": "adamw", "weight_decay": 1e-2},
        tune="lora",
        needs_labels=True,
    ),
    "clip-adapter": Method(None, needs_labels=True),
    "tip-adapter": Method(None, needs_labels=True),
    "tip-adapter-f": Method(None, needs_labels=True),
    "linear-probe": Method(None, needs_labels=True),
    "lp++": Method(None, needs_labels=True),
}
"""Every method by its name; a learner that is not here is a method, too, with the defaults of `Method`.

The papers share pseudo-labels out evenly over the classes. Real pools are not even, so here the share follows the
annotations (``--set prior=uniform`` is the paper's). CLIP-LoRA has its paper's settings, CoCoOp its epochs; the other
settings are ours, for a thousand images. UEO's published learning rate of 1e-4 without momentum is a thousandth of the
default's effect and made for thousands of steps; GRIP's 1,500 epochs are made for a GPU.
"""

SUPERVISED = tuple(name for name, method in METHODS.items() if method.needs_labels)
"""Methods that learn from human labels alone."""

PUBLISHED = tuple(name for name, method in METHODS.items() if method.published)
"""Methods with a ``--preset paper``."""


def summary() -> str:
    """The methods by what they need, for the help of ``--method``."""
    unlabeled = {name: method for name, method in METHODS.items() if not method.needs_labels}
    trained = ", ".join(name for name, method in unlabeled.items() if method.learner)
    solvers = ", ".join(name for name, method in unlabeled.items() if not method.learner)
    return f"{trained}, or any learner; training-free: {solvers}; few-shot: {', '.join(SUPERVISED)}."


__all__ = ["METHODS", "PUBLISHED", "SETTINGS", "SUPERVISED", "Method", "Published", "summary"]
