"""A learner and its training settings from Python, with the values that a preset gives where the user says nothing."""

from dataclasses import fields
from typing import Any

from zerolabel.annotations import Annotations
from zerolabel.errors import InputError, nearest
from zerolabel.learners import Learner, hyper_parameters
from zerolabel.networks import Network
from zerolabel.runs import presets
from zerolabel.runs.planning import fit_to_epochs
from zerolabel.runs.presets import Preset
from zerolabel.training.settings import Settings, find_learner, make_settings


def prepare(
    learner: str, network: Network, annotations: Annotations, *, preset: str | Preset = "auto", **values: Any
) -> tuple[Learner, Settings]:
    """A learner, and settings to train it with.

    `LEARNERS` and `Settings` alone have the papers' values, made for tens of thousands of images; this is what the
    command line trains with.

    Args:
        learner: name of the algorithm, a key of `LEARNERS`.
        network: that is trained.
        annotations: of all images of the training.
        preset: gives what is not in the values: "auto" by the number of images, "small", "paper", or a `Preset`.
        values: arguments of the learner and fields of `Settings`, by name.

    Raises:
        InputError: there is no such learner, preset or name, or a value cannot be.
    """
    kind = find_learner(learner)
    own, common = hyper_parameters(kind), {f.name for f in fields(Settings)}
    unknown = [name for name in values if name not in own and name not in common]
    if unknown:
        raise InputError(f"{learner} has no such option as '{unknown[0]}'{nearest(unknown[0], {*own, *common})}")
    hyper = {name: value for name, value in values.items() if name in own}
    given = {name: value for name, value in values.items() if name not in own}
    chosen = presets.find(preset, len(annotations), given.get("epochs"))
    settings = make_settings({**chosen.settings, **given})
    given = fit_to_epochs(chosen.hyper_parameters.get(learner, {}), learner, settings.epochs)
    return kind(network, annotations, **{**given, **hyper}), settings


__all__ = ["prepare"]
