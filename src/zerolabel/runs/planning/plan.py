"""From what a user asked to a complete configuration: everything that can be checked cheaply is checked here."""

from dataclasses import replace
from datetime import UTC, datetime

from zerolabel import networks
from zerolabel.data.images import ImageSet
from zerolabel.networks.base import HEADS
from zerolabel.runs import presets
from zerolabel.runs.config import Config
from zerolabel.runs.planning.annotation import check_adaptation, what_was_asked
from zerolabel.runs.planning.choices import one_of
from zerolabel.runs.planning.data import check_labels, check_open_set
from zerolabel.runs.planning.learner import check_hyper_parameters, fit_to_epochs
from zerolabel.runs.planning.road import check_features, choose_propagation, choose_student, few
from zerolabel.runs.planning.size import SIZES
from zerolabel.runs.planning.training import strong_view
from zerolabel.runs.presets import Preset
from zerolabel.runs.request import Request
from zerolabel.training.settings import make_settings, parse
from zerolabel.version import __version__


def plan(request: Request) -> Config:
    """Fill in what was not said.

    Raises:
        InputError: something that was said cannot be.
    """
    images = ImageSet.open(request.images)
    if request.test_images is not None:
        ImageSet.open(request.test_images)
    chosen = parse(request.learner, request.options)
    wanted = chosen.settings if request.epochs is None else {**chosen.settings, "epochs": request.epochs}
    preset = presets.find(request.preset, len(images), wanted.get("epochs"))
    request = with_preset(request, preset)
    asked = what_was_asked(request)
    check_open_set(asked, request)
    check_labels(asked, request)
    student, size = choose_student(request, images, asked, preset.sizes or SIZES)
    if student in HEADS:
        preset = presets.for_head(preset, len(images), len(asked["classes"]), wanted.get("epochs"))
    settings = {**preset.settings, "seed": request.seed, "device": request.device, **wanted}
    epochs = make_settings(settings).epochs
    hyper = fit_to_epochs(preset.hyper_parameters.get(request.learner, {}), request.learner, epochs) | chosen.learner
    check_hyper_parameters(request.learner, hyper, asked["classes"])
    on_features = student in HEADS or request.via == "features"
    check_features(asked, on_features=on_features, request=request)
    check_adaptation(asked, request)
    return Config(
        images=str(request.images),
        **asked,
        learner=request.learner,
        hyper_parameters=hyper,
        settings=settings,
        student=student,
        size=size,
        pretrained=student not in networks.NAMES if request.pretrained is None else request.pretrained,
        adapt=request.adapt,
        via=one_of("--via", request.via, (None, "features")),
        propagate=choose_propagation(request, len(images), on_features=on_features),
        deploy=one_of("--deploy", request.deploy, (None, "one", "both")) or "one",
        open_set=request.open_set,
        flip="glyphs" not in asked["vlm"] if request.flip is None else request.flip,
        strong=strong_view(request.strong, preset.cutout),
        truth=request.truth,
        test_images=request.test_images,
        few_shot=request.few_shot,
        annotations=request.annotations,
        allow_changed=request.allow_changed,
        append=request.append,
        preset=f"{preset.name}: {preset.why}{few(request, student)}",
        command=request.command,
        zerolabel=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def with_preset(request: Request, preset: Preset) -> Request:
    """The request with a preset's choices where it says nothing.

    Annotations that are there already have models, prompts and a rule of their own, which no preset changes.
    """
    own = ("vlm", "templates", "candidates") if request.annotations or request.append else ()
    said = {name for name in preset.choices if getattr(request, name) is not None}
    return replace(request, **{name: preset.choices[name] for name in preset.choices if name not in (*own, *said)})
