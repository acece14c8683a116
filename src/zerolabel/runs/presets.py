"""Defaults by the size of the task: what the command line picks where the user says nothing, and prints."""

from dataclasses import dataclass
from typing import Any

from zerolabel.training.settings import Settings

SMALL = 10_000
DRAWN = 90_000
FEW = 100
"""Images per class from which on a network that starts from random weights is worth its training; with fewer, a head
on the annotating model's frozen features is the default."""
MOST_PROPAGATED = 200_000
"""Images up to which scores are spread over neighbours by default: comparing all with all takes quadratic time."""


@dataclass(frozen=True)
class Preset:
    """Defaults for a run.

    Attributes:
        name: "small" or "paper".
        why: the reason, as the end of a sentence.
        settings: fields of `training.Settings`.
        hyper_parameters: of each learner.
    """

    name: str
    why: str
    settings: dict[str, Any]
    hyper_parameters: dict[str, dict[str, Any]]


def choose(n_images: int, epochs: int | None = None) -> Preset:
    """The preset for a number of training images, and of epochs where the user gave one.

    The paper's values are made for 20,000 images and more: with 1,000 images, 50 epochs of warm-up at batch 512 are
    a hundred steps. The small preset takes smaller batches, a larger learning rate, as many epochs as show the
    networks `DRAWN` images (30 to 300), three fifths of them warm-up, each image of the unlabelled split once an epoch,
    and rare classes as often as frequent ones. Candidates weigh by their scores, so that the warm-up need not be held
    back by much entropy; pseudo-labels of batches are aligned as those of all images are, to a prior that is uniform
    unless the annotators see one class far more often than another.
    """
    if n_images >= SMALL:
        return Preset("paper", f"{n_images} images are {SMALL} or more", {}, {})
    epochs = min(max(DRAWN // max(n_images, 1), 30), 300) if epochs is None else epochs
    steps = {"warm_up": round(0.6 * epochs), "delay": 0, "ramp": 4, "queue": 1024, "restart": False, "balance": 1.0}
    coreg = {**steps, "evidence": "scores", "entropy_weight": 0.1, "align_batches": True, "prior": "auto"}
    settings = {"epochs": epochs, "batch_size": 64, "lr": 0.05}
    return Preset("small", f"{n_images} images are fewer than {SMALL}", settings, {"coreg": coreg})


def features_settings(settings: dict[str, Any]) -> Settings:
    """Settings of the first step of the road through frozen features, where an epoch costs next to nothing."""
    return Settings(**settings)
