"""Presets: values for a run where the user says nothing, as plain data; the command line prints them."""

from dataclasses import dataclass, field, replace
from math import log2
from typing import Any

from zerolabel.errors import InputError, nearest

SMALL = 10_000
EPOCHS, SET_ASIDE = 100, 0.1
"""Epochs where neither the user nor a preset says a number, and share of the pool that is set aside from training."""
DRAWN = 90_000
FEW = 100
"""Images per class from which on a network that starts from random weights is worth its training; with fewer, a head
on the annotating model's frozen features is the default."""
HEAD_EPOCHS, ENOUGH = 60, 70
"""Most epochs of a head, and images of a class from which on it learns at the full rate; see `for_head`."""
MOST_PROPAGATED = 200_000
"""Images up to which scores are spread over neighbors by default: comparing all with all takes quadratic time."""
MOST_VALIDATED = 2_000
"""Images of the training that human labels validate, see `zerolabel.runs.stages.validation`."""
NAMES = ("auto", "small", "paper")
"""Values of ``--preset``; "auto" is small below `SMALL` images, otherwise the learners' own defaults."""


@dataclass(frozen=True)
class Preset:
    """Defaults for a run.

    Attributes:
        name: "small", "large" or "paper".
        why: the reason, as the end of a sentence.
        settings: fields of `training.Settings`.
        hyper_parameters: of each learner.
        choices: fields of `planning.Request` that are none unless the user gives them.
        sizes: sides of the student's input to choose from, in pixels; none leaves the tool's own.
        cutout: side of the square that the strong view "cutout" erases, in pixels; none is half the image's side.
    """

    name: str
    why: str
    settings: dict[str, Any]
    hyper_parameters: dict[str, dict[str, Any]]
    choices: dict[str, Any] = field(default_factory=dict)
    sizes: tuple[int, ...] | None = None
    cutout: int | None = None


PAPER = Preset(
    "paper",
    "Co-Reg as its authors' code has it",
    settings={
        "epochs": 800,
        "batch_size": 256,
        "optimizer": "sgd",
        "lr": 0.01,
        "final_lr": 1e-3,
        "period": 800,
        "momentum": 0.9,
        "weight_decay": 5e-4,
        "precision": "float32",
        "statistics": "running",
    },
    hyper_parameters={
        "coreg": {
            "warm_up": 50,
            "entropy_weight": 1.0,
            "evidence": "sets",
            "full_sets": False,
            "floor": 1e-5,
            "temperature": 0.5,
            "threshold": 0.5,
            "history": 5,
            "mixup": 4.0,
            "unlabeled_weight": 1.0,
            "squared_error": "mean",
            "ramp": 16,
            "ramp_by": "batch",
            "restart": True,
            "repeats": False,
            "labeling": "separate",
            "prototype_weight": 0.1,
            "contrast_weight": 0.1,
            "delay": 10,
            "embedding": 128,
            "queue": 8192,
            "ema_momentum": 0.999,
            "prototype_momentum": 0.999,
            "prototype_temperature": 0.3,
            "contrast_temperature": 0.07,
            "balance": 0.0,
            "prior": "uniform",
            "alignment": "running",
            "alignment_batch": 256,
            "align_batches": False,
            "co_pseudo_labels": True,
            "contrast": "noisy",
            "unlabeled_split": True,
        }
    },
    choices={
        "vlm": "open_clip:ViT-B-32/openai",
        "templates": "small",
        "candidates": "union",
        "prompt_weights": "uniform",
        "student": "preact_resnet18",
        "pretrained": False,
        "propagate": False,
        "deploy": "both",
    },
    sizes=(28, 32, 64),
    cutout=16,
)
"""The whole of Portugas0807/Co-Reg at 7fa6d67, with the values of its CIFAR-10 and SVHN; CIFAR-100 has `warm_up` 100,
and Fashion-MNIST, EuroSAT, FER2013 and GTSRB have 100 epochs."""


STUDENTS = ("light", "preact_resnet18", "resnet18", "resnet50")
"""Networks that read images of any usual size."""
STEP = 32
"""Pixels by which the sides differ that every network with a measured speed reads."""


def student(size: int, n_images: int) -> str:
    """The network that reads pixels, where the user names none.

    - up to 32 pixels: "light"; from 20,000 images on "preact_resnet18", as in Co-Reg's paper;
    - up to 96 pixels: "preact_resnet18";
    - above: timm's "resnet18" up to 5,000 images, else "resnet50".

    Args:
        size: side of the input, in pixels.
        n_images: to train on.
    """
    if size <= 32 and n_images < 20_000:
        return "light"
    if size <= 96:
        return "preact_resnet18"
    return "resnet18" if n_images < 5_000 else "resnet50"


def find(preset: str | Preset, n_images: int, epochs: int | None = None) -> Preset:
    """A preset by its name, for a number of training images, and of epochs where the user gave one.

    Raises:
        InputError: there is none of that name.
    """
    if isinstance(preset, Preset):
        return preset
    if preset not in NAMES:
        raise InputError(f"--preset {preset}: there is no such preset{nearest(preset, NAMES)}")
    if preset == "auto":
        return choose(n_images, epochs)
    return PAPER if preset == "paper" else small(n_images, epochs)


def choose(n_images: int, epochs: int | None = None) -> Preset:
    """The preset for a number of training images, and of epochs where the user gave one.

    The learners' own defaults are their papers', made for 20,000 images and more: with 1,000 images, 50 epochs of
    warm-up at batch 512 are a hundred steps.
    """
    if n_images >= SMALL:
        return Preset("large", f"{n_images} images are {SMALL} or more", {}, {"coreg": {"warm_up": 50}})
    return small(n_images, epochs)


def small(n_images: int, epochs: int | None = None) -> Preset:
    """The preset for small collections.

    It takes smaller batches, a larger learning rate, as many epochs as show the networks `DRAWN` images (30 to 300),
    three fifths of them warm-up, each image of the unlabeled split once an epoch, and rare classes as often as
    frequent ones. Candidates weigh by their scores, so that the warm-up need not be held back by much entropy;
    pseudo-labels of batches are aligned as those of all images are, to a prior that is uniform unless the annotators
    see one class far more often than another. Squared errors are sums over classes, as the paper prints them.
    """
    epochs = min(max(DRAWN // max(n_images, 1), 30), 300) if epochs is None else epochs
    steps = {"warm_up": round(0.6 * epochs), "delay": 0, "ramp": 4, "queue": 1024, "restart": False, "balance": 1.0}
    coreg = {**steps, "evidence": "scores", "entropy_weight": 0.1, "align_batches": True, "prior": "auto"}
    coreg |= {"squared_error": "sum", "ramp_by": "epoch", "labeling": "joint", "alignment": "whole"}
    coreg |= {"full_sets": True, "floor": 0.0}
    settings = {"epochs": epochs, "batch_size": 64, "lr": 0.05}
    more = "fewer than" if n_images < SMALL else "not fewer than"
    return Preset("small", f"{n_images} images are {more} {SMALL}", settings, {"coreg": coreg})


def for_head(preset: Preset, n_images: int, n_classes: int, epochs: int | None = None) -> Preset:
    """The preset for a head on frozen features, which starts at the zero-shot classifier.

    There is less to learn than from random weights, and with few images a class there is less to learn it from: at
    most `HEAD_EPOCHS` epochs, and a learning rate that is halved whenever the images of a class are halved, below
    `ENOUGH`. It falls in steps, so that an image more or less does not change the options of a run.

    Args:
        preset: that was chosen; another than "small" stays as it is.
        n_images: to train on.
        n_classes: C.
        epochs: that the user gave.
    """
    if preset.name != "small":
        return preset
    found = small(n_images, min(preset.settings["epochs"], HEAD_EPOCHS) if epochs is None else epochs)
    lr = found.settings["lr"] / 2 ** halvings(n_images, n_classes)
    return replace(found, why=preset.why, settings={**found.settings, "lr": lr})


def near_zero_shot(preset: Preset, n_images: int, n_classes: int) -> Preset:
    """The preset for a head that learns from the annotating model's own scores, neither spread nor joined by labels.

    With fewer than 25 images of a class (two halvings), such a head is on new images now better than zero-shot and now
    worse; halfway between them (WiSE-FT) it keeps half of the gain and half of the loss.

    Args:
        preset: of `for_head`; another than "small" stays as it is.
        n_images: to train on.
        n_classes: C.
    """
    if preset.name != "small" or halvings(n_images, n_classes) < 2:
        return preset
    return replace(preset, settings={**preset.settings, "interpolation": 0.5})


def halvings(n_images: int, n_classes: int) -> int:
    """The number of times that `ENOUGH` images of a class are halved to those that are there."""
    return max(0, round(log2(ENOUGH * max(n_classes, 1) / max(n_images, 1))))
