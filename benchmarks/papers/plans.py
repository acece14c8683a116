"""From a published figure to the runs that give ours: model, prompts, data and schedule of each protocol.

A cell that is a mean over data sets has a plan for each. A cell without plans is one that this package has no method
for, or that needs data nobody can download; `plans` is empty and `missing` says why.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from benchmarks.papers.tables import Cell
from zerolabel.cli.classifiers import train
from zerolabel.cli.run import run

B32, B16, L14, RN50 = (f"open_clip:{name}/openai" for name in ("ViT-B-32", "ViT-B-16", "ViT-L-14", "RN50"))
ONE, PHOTO = "a photo of a {}", "a photo of a {}."
Kind = Literal["annotate", "student", "simulated", "adapt", "tasks"]
Options = tuple[str, ...]
Own = dict[str, object]
"""Options of a learner or of the training by name."""


@dataclass(frozen=True)
class Pool:
    """Which training images a run is given, and what of their labels.

    Attributes:
        shots: labeled images per class; 0 none.
        seen: share of the classes, the first ones in a drawn order, of which all labels are given.
        most: images per class at most; 0 does not limit them.
        ratio: how many times the first class is larger than the last.
    """

    shots: int = 0
    seen: float = 0.0
    most: int = 0
    ratio: float = 1.0


@dataclass(frozen=True)
class Tasks:
    """Batches of test images on which a solver works; the whole test set where ``batch`` is 0.

    Attributes:
        least: classes of a batch at least.
        largest: and at most.
        batch: images of one.
        count: how many batches.
    """

    least: int = 0
    largest: int = 0
    batch: int = 0
    count: int = 1


@dataclass(frozen=True)
class Plan:
    """One run.

    Attributes:
        data: data set.
        kind: which code runs it, see `benchmarks.papers.cells`.
        measure: what of it is the figure, see `benchmarks.papers.measures`.
        vlm: the annotating model.
        templates: its prompts.
        split: images that the figure is about.
        options: of ``run``, ``train`` or ``adapt``; of a solver, its name and ``NAME=VALUE`` texts.
        simulate: options of ``simulate``.
        symmetric: share of the labels drawn anew from all classes; below 0 none are.
        pool: the training images.
        tasks: the batches.
    """

    data: str
    kind: Kind
    measure: str = "accuracy"
    vlm: str = B32
    templates: str = "small"
    split: str = "test"
    options: Options = ()
    simulate: Options = ()
    symmetric: float = -1.0
    pool: Pool = Pool()
    tasks: Tasks = Tasks()


def settings(**values: object) -> Options:
    """``--set NAME=VALUE`` for each.

    >>> settings(lr=0.1, period=800)
    ('--set', 'lr=0.1', '--set', 'period=800')
    """
    return tuple(word for name, value in values.items() for word in ("--set", f"{name}={str(value).lower()}"))


def published(command: Callable[..., None]) -> Options:
    """``--preset paper``, where the command has such an option."""
    return ("--preset", "paper") if "preset" in inspect.signature(command).parameters else ()


SCHEDULES: dict[str, tuple[int, int, int, Options]] = {
    "cifar10": (32, 800, 50, ()),
    "cifar100": (32, 800, 100, ()),
    "svhn": (32, 800, 50, ("--no-flip",)),
    "fashion_mnist": (28, 100, 50, ("--strong", "cutout")),
    "eurosat": (64, 100, 50, ()),
    "fer2013": (64, 100, 50, ("--strong", "cutout")),
    "gtsrb": (64, 100, 50, ("--no-flip",)),
}
"""Co-Reg's code: input size, epochs, warm-up, views."""


def student(data: str, learner: str, own: Own, *, epochs: int = 0) -> Options:
    """A PreAct-ResNet-18 by Co-Reg's schedule for the data, or for another number of epochs."""
    size, usual, _, flags = SCHEDULES[data]
    training = settings(period=800, lr=0.01, weight_decay=5e-4, batch_size=256) if "lr" not in own else ()
    return (
        "--method", learner, "--student", "preact_resnet18", "--size", str(size), "--deploy", "both",
        *flags, "--epochs", str(epochs or usual), *training, *settings(**own),
    )  # fmt: skip


def coreg(data: str, own: Own, *, warm_up: int = 0, command: Callable[..., None] = run) -> Options:
    """Co-Reg as published; its preset where the command has one, beside the options that the data set needs."""
    return (*published(command), *student(data, "coreg", {"warm_up": warm_up or SCHEDULES[data][2], **own}))


ABLATIONS: dict[str, Own] = {
    "Co-Reg": {},
    "Co-Reg without co-pseudo-labels": {"co_pseudo_labels": False},
    "Co-Reg with plain SupCon": {"contrast": "supervised"},
    "Co-Reg without prototypes": {"prototype_weight": 0},
    "Co-Reg without the unlabeled split": {"unlabeled_split": False},
}
BASELINES: dict[str, tuple[str, Own, str]] = {
    "KD": ("distillation", {}, ONE),
    "KD-average": ("distillation", {}, "small"),
    "DivideMix": ("dividemix", {}, ONE),
    "DivideMix-average": ("dividemix", {}, "small"),
    "CR-DPLL": ("crdpll", {}, "small"),
    "ALIM-Onehot": ("alim", {"variant": "onehot"}, "small"),
    "ALIM-Scale": ("alim", {"variant": "scale"}, "small"),
}
"""Learner, options and prompts; the paper does not say how they were trained, so that they take Co-Reg's schedule."""


def annotation(cell: Cell) -> list[Plan]:
    """Tables 1 and 2 of Co-Reg: what the prompts say."""
    if cell.method in ("mean candidates per image", "truth missing"):
        return [Plan(cell.data, "annotate", cell.method, split="train")]
    _, split, prompts = cell.method.split(", ")
    return [Plan(cell.data, "annotate", split=split, templates=ONE if prompts == "1 prompt" else "small")]


def clip_labels(cell: Cell) -> list[Plan]:
    """Tables 1 and 4 of Co-Reg: students of CLIP's labels, and CoOp."""
    if cell.method.startswith("CoOp"):
        shots = int(cell.method.removeprefix("CoOp ").removesuffix("-shot"))
        return [few_shot(cell.data, "coop", shots, B32)]
    if cell.method in ABLATIONS:
        return [Plan(cell.data, "student", options=coreg(cell.data, ABLATIONS[cell.method]))]
    learner, own, prompts = BASELINES[cell.method]
    rule = ("--candidates", "soft") if learner == "distillation" else ()
    options = (*rule, *student(cell.data, learner, own))
    return [Plan(cell.data, "student", templates=prompts, options=options)]


def value(setting: str, name: str) -> str:
    """What a setting such as "q=0.1 eta=0" says of a name."""
    return dict(part.split("=") for part in setting.split())[name]


PARTIAL: dict[str, tuple[str, Own]] = {
    "CC": ("cc", {}), "RC": ("rc", {}), "LWC": ("lwc", {}), "LWS": ("lws", {}), "PRODEN": ("proden", {}),
    "PiCO": ("pico", {}), "PiCO+": ("pico_plus", {}), "CR-DPLL": ("crdpll", {}), "IRNet": ("irnet", {}),
    "ALIM-Scale": ("alim", {"variant": "scale"}), "ALIM-Onehot": ("alim", {"variant": "onehot"}),
    "Co-Reg": ("coreg", {}), "SoLar": ("solar", {}), "fully supervised": ("cross_entropy", {}),
}  # fmt: skip
EPOCHS = {"alim": 1000, "crdpll": 200, "irnet": 500, "solar": 1000}
"""Of the authors' code, where it is not PiCO's 800."""


def noisy_partial(cell: Cell) -> list[Plan]:
    """Candidate sets with noise: Table 3 of Co-Reg. Methods that want the noise rate are told it, as there."""
    if cell.method not in PARTIAL:
        return []
    (learner, own), eta = PARTIAL[cell.method], value(cell.setting, "eta")
    if learner == "coreg":
        options = coreg(cell.data, own, warm_up=200, command=train)
    else:
        told = {"noise_rate": eta} if learner in ("alim", "pico_plus") else {}
        decay = 1e-4 if learner == "crdpll" else 1e-3
        rate = 0.1 if learner == "crdpll" else 0.01
        training: Own = {"lr": rate, "weight_decay": decay, "batch_size": 256}
        options = student(cell.data, learner, {**training, **own, **told}, epochs=EPOCHS.get(learner, 800))
    simulate = ("--kind", "uniform", "--q", value(cell.setting, "q"), "--eta", eta)
    return [Plan(cell.data, "simulated", options=options, simulate=simulate)]


def long_tail(cell: Cell) -> list[Plan]:
    """Candidate sets on a pool whose classes are not equally large: SoLar."""
    q, ratio = value(cell.setting, "q"), value(cell.setting, "ratio")
    found = noisy_partial(replace(cell, setting=f"q={q} eta=0"))
    return [replace(plan, simulate=(*plan.simulate, "--ratio", ratio)) for plan in found]


NOISY: dict[str, tuple[str, int, Own]] = {
    "CE": ("cross_entropy", 300, {"lr": 0.02, "batch_size": 128}),
    "DivideMix": ("dividemix", 300, {"lr": 0.02, "batch_size": 64, "warm_up": 30, "entropy_weight": 0}),
    "ELR+": ("elr_plus", 250, {"lr": 0.02, "batch_size": 128, "memory": 0.9, "weight": 7}),
    "ProMix": ("promix", 600, {"lr": 0.05, "batch_size": 256}),
}


def noisy(cell: Cell) -> list[Plan]:
    """One wrong label for a share of the images, drawn from all classes."""
    if cell.method not in NOISY:
        return []
    learner, epochs, own = NOISY[cell.method]
    options = student(cell.data, learner, {"weight_decay": 5e-4, **own}, epochs=epochs)
    share = float(cell.setting.removeprefix("symmetric "))
    return [Plan(cell.data, "simulated", options=options, symmetric=share)]


def few_shot(data: str, method: str, shots: int, vlm: str) -> Plan:
    """A method of labels, with the schedule of its code."""
    epochs = {1: 50, 2: 100, 4: 100}.get(shots, 200) if data != "imagenet" else 50
    schedules: dict[str, Options] = {
        "coop": ("--epochs", str(epochs), *settings(lr=0.002, batch_size=32)),
        "cocoop": ("--epochs", "10", *settings(lr=0.002, batch_size=1)),
    }
    if method == "clip-lora":
        schedules[method] = ("--epochs", str(lora_epochs(data)), *settings(lr=2e-4, batch_size=32))
    options = ("--method", method, *schedules.get(method, ()))
    return Plan(data, "adapt", vlm=vlm, templates=PHOTO, options=options, pool=Pool(shots=shots))


CLASSES = {
    "eurosat": 10, "pets": 37, "resisc45": 45, "dtd": 47, "aircraft": 100, "caltech101": 101, "food101": 101,
    "ucf101": 101, "flowers102": 102, "cars": 196, "cub": 200, "sun397": 397, "imagenet": 1000,
}  # fmt: skip


def lora_epochs(data: str) -> int:
    """CLIP-LoRA's 500 iterations a shot, in passes over the shots: 500 times 32 images over C classes."""
    return max(1, round(500 * 32 / CLASSES[data]))
