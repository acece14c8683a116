"""Which settings, views and hyper-parameters training has.

The learners, and with them torch, are loaded only where an option is named.
"""

from dataclasses import dataclass
from typing import Any

from zerolabel import vlms
from zerolabel.errors import InputError
from zerolabel.options import Rounds, Seed, check_value, one_of
from zerolabel.runs.config import OWN_STUDENTS, AnnotationConfig, DataConfig, TrainingConfig
from zerolabel.runs.planning.learner import facts, fit_to_epochs
from zerolabel.runs.planning.route import Route
from zerolabel.runs.presets import EPOCHS, SET_ASIDE, Preset
from zerolabel.runs.request import Request
from zerolabel.vlms.names import reads_characters

STRONG = ("randaugment", "cutout")
"""Names of the strong views, see `zerolabel.data.views.Pixels`."""


@dataclass(frozen=True)
class Wanted:
    """Values of ``--set`` and ``--epochs``.

    Attributes:
        learner: hyper-parameters.
        settings: fields of `zerolabel.training.settings.Settings`.
    """

    learner: dict[str, Any]
    settings: dict[str, Any]


def wanted_options(request: Request) -> Wanted:
    """Parse ``--set`` and ``--epochs``, before any file is read.

    Raises:
        InputError: there is no such learner or option, or a value cannot be.
    """
    said = {} if request.epochs is None else {"epochs": request.epochs}
    if request.learner in facts() and not request.options and request.device in ("auto", "cpu"):
        check_value("seed", request.seed, Seed)
        if said:
            check_value("epochs", request.epochs, Rounds)
        return Wanted({}, said)
    from zerolabel.training.settings import make_settings, parse

    chosen = parse(request.learner, request.options)
    settings = {**chosen.settings, **said}
    make_settings({"seed": request.seed, "device": request.device, **settings})
    return Wanted(chosen.learner, settings)


def resolve_training(
    request: Request, preset: Preset, wanted: Wanted, route: Route, data: DataConfig, annotation: AnnotationConfig
) -> TrainingConfig:
    """Learner, student and settings; what was not said is the preset's.

    Raises:
        InputError: the strong view cannot be.
    """
    settings = {"epochs": EPOCHS, **preset.settings, "seed": request.seed, "device": request.device, **wanted.settings}
    epochs, learner = settings["epochs"], request.learner
    hyper = fit_to_epochs(preset.hyper_parameters.get(learner, {}), learner, epochs) | wanted.learner
    pretrained = route.student not in OWN_STUDENTS if request.pretrained is None else request.pretrained
    return TrainingConfig(
        learner=learner,
        hyper_parameters=hyper,
        settings=settings,
        student=route.student,
        size=route.size,
        pretrained=pretrained,
        via=route.via,
        propagate=route.propagate,
        stack=stacks_labels(data, annotation),
        set_aside=share_set_aside(request, preset, data),
        flip=not any(map(reads_characters, annotation.names)) if request.flip is None else request.flip,
        strong=strong_view(request.strong, preset.cutout),
    )


def stacks_labels(data: DataConfig, annotation: AnnotationConfig) -> bool:
    """True if human labels were given and there is a model from whose features a probe can learn them."""
    if not data.few_shot or annotation.encoder is None:
        return False
    return annotation.annotations is None or vlms.is_cached(annotation.encoder)


def share_set_aside(request: Request, preset: Preset, data: DataConfig) -> float:
    """The share that was asked for, else none where held-out images were given or training is the paper's.

    Raises:
        InputError: it is not a share of the images.
    """
    if request.set_aside is None:
        return 0.0 if data.test_images or preset.name == "paper" else SET_ASIDE
    if not 0 <= request.set_aside <= 0.5:
        raise InputError(f"--set-aside {request.set_aside:g} is out of range; give a share from 0 to 0.5.")
    return request.set_aside


def strong_view(asked: str, cutout: int | None) -> str:
    """The strong view, "cutout" with a preset's side of the square.

    Raises:
        InputError: there is no such view, or the side is no number of pixels.
    """
    kind, _, side = asked.partition(":")
    one_of("--strong", kind if kind == "cutout" else asked, STRONG)
    if asked != kind and not (side.isdecimal() and int(side) > 0):
        raise InputError(f"--strong {asked}: {side or 'nothing'} is no number of pixels; write for example cutout:16.")
    return f"cutout:{cutout}" if asked == "cutout" and cutout is not None else asked
