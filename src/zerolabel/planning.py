"""From what a user asked to a complete configuration: everything that can be checked cheaply is checked here."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from statistics import median
from typing import Any

from zerolabel import __version__, networks, options, presets, prompts, vlms
from zerolabel.annotations import Annotations
from zerolabel.candidates import parse_rule
from zerolabel.errors import InputError, nearest
from zerolabel.estimate import blank
from zerolabel.images import ImageSet, Unreadable
from zerolabel.learners import LEARNERS, hyper_parameters
from zerolabel.prompts import Classes
from zerolabel.runs import Config
from zerolabel.truth import Labels

SIZES = (24, 28, 32, 64, 96, 128, 224)
_SAMPLE = 64


@dataclass(frozen=True)
class Request:
    """What a user may say; none means that the tool chooses.

    Attributes:
        images: folder or list of unlabelled images.
        classes: file of class names, or names with commas between; none where annotations are given.
        vlm: the annotating model; see `zerolabel.vlms.load`.
        templates: set or file of prompts, or one prompt.
        candidates: how votes become candidate sets; see `zerolabel.candidates.RULES`.
        learner: name of the algorithm.
        options: ``NAME=VALUE`` texts for the learner and the training settings.
        student: name of the network; "features" means an MLP on the model's frozen features.
        size: side of the student's input in pixels.
        pretrained: whether a timm student starts from pretrained weights.
        via: "features" to learn on frozen features first.
        deploy: "one" network or "both".
        epochs: of training.
        seed: of everything random.
        flip: whether an image and its mirror image mean the same.
        device: "auto", "cpu", "cuda" or "mps".
        truth: true labels, for evaluation alone.
        test_images: images held out of training.
        few_shot: labels given by a person, for training.
        annotations: ``annotations.parquet`` to train on; classes, model and prompts are then its own.
        command: the command line.
    """

    images: str
    classes: str | None = None
    vlm: str | None = None
    templates: str | None = None
    candidates: str = "union"
    learner: str = "coreg"
    options: Sequence[str] = ()
    student: str | None = None
    size: int | None = None
    pretrained: bool | None = None
    via: str | None = None
    deploy: str = "one"
    epochs: int | None = None
    seed: int = 0
    flip: bool | None = None
    device: str = "auto"
    truth: str | None = None
    test_images: str | None = None
    few_shot: str | None = None
    annotations: str | None = None
    command: list[str] = field(default_factory=list)


def plan(request: Request) -> Config:
    """Fill in what was not said.

    Raises:
        InputError: something that was said cannot be.
    """
    images = ImageSet.open(request.images)
    if request.test_images is not None:
        ImageSet.open(request.test_images)
    asked = what_was_asked(request)
    for path in (request.truth, request.few_shot):
        if path is not None:
            Labels.read(path, Classes(asked["classes"], asked["aliases"]))
    chosen = options.parse(request.learner, request.options)
    preset = presets.choose(len(images))
    settings = {**preset.settings, "seed": request.seed, "device": request.device, **chosen.settings}
    settings |= {} if request.epochs is None else {"epochs": request.epochs}
    epochs = options.make_settings(settings).epochs
    hyper = fit_to_epochs(preset.hyper_parameters.get(request.learner, {}), request.learner, epochs) | chosen.learner
    check_hyper_parameters(request.learner, hyper, asked["classes"])
    student, size = choose_student(request, images)
    return Config(
        images=str(request.images),
        **asked,
        learner=request.learner,
        hyper_parameters=hyper,
        settings=settings,
        student=student,
        size=size,
        pretrained=student not in networks.NAMES if request.pretrained is None else request.pretrained,
        via=one_of("--via", request.via, (None, "features")),
        deploy=one_of("--deploy", request.deploy, ("one", "both")) or "one",
        flip=asked["vlm"] != "glyphs" if request.flip is None else request.flip,
        truth=request.truth,
        test_images=request.test_images,
        few_shot=request.few_shot,
        annotations=request.annotations,
        preset=f"{preset.name}: {preset.why}",
        command=request.command,
        zerolabel=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def what_was_asked(request: Request) -> dict[str, Any]:
    """Classes, model, prompts and rule: from the options, or from annotations that are there already.

    Raises:
        InputError: an option is wrong, or the annotations are of several models.
    """
    if request.annotations is not None:
        annotations = Annotations.load(request.annotations)
        models = {annotator.model for annotator in annotations.annotators}
        if len(models) != 1:
            which = f"of several models, {', '.join(sorted(models))}" if models else "of no model"
            raise InputError(f"{request.annotations} is {which}; train on annotations of one.")
        return {
            "classes": annotations.classes,
            "aliases": ((),) * len(annotations.classes),
            "vlm": models.pop(),
            "templates": tuple(annotator.template for annotator in annotations.annotators),
            "rule": annotations.rule,
        }
    if request.classes is None:
        raise InputError("give --classes: a file of class names, or names with commas between.")
    names = prompts.load_classes(request.classes)
    parse_rule(request.candidates)
    vlm = request.vlm or vlms.DEFAULT_PHOTO_VLM
    if vlm.partition(":")[0] not in ("glyphs", "open_clip", "hf-hub"):
        kinds = ("glyphs", "open_clip:ARCH/PRETRAINED", "open_clip:FOLDER", "hf-hub:ORG/NAME")
        raise InputError(f"--vlm {vlm}: there is no such model{nearest(vlm, kinds)}")
    return {
        "classes": names.names,
        "aliases": names.aliases,
        "vlm": vlm,
        "templates": vlms.templates(vlm, request.templates),
        "rule": request.candidates,
    }


def choose_student(request: Request, images: ImageSet) -> tuple[str, int]:
    """Network and input size: what was asked, else by the size of the images.

    Raises:
        InputError: the network is unknown, or does not go with ``--via``.
    """
    size = choose_size(images) if request.size is None else request.size
    if not 8 <= size <= 2048:
        raise InputError(f"--size {size} is not between 8 and 2048 pixels; give a size such as 32.")
    name = "mlp" if request.student == "features" else request.student
    if name is None:
        name = networks.default_name(size, len(images))
    networks.build(name, 2, size)
    if name in presets.HEADS and request.via:
        raise InputError(
            f"--via features ends in a network that reads pixels; --student {request.student} reads features."
        )
    return name, size


def choose_size(images: ImageSet) -> int:
    """The smallest of `SIZES` that is not below the median of the images' shorter sides, over a sample."""
    sides = []
    for i in range(0, len(images), max(1, len(images) // _SAMPLE)):
        try:
            sides.append(min(images.read(i).size))
        except Unreadable:
            continue
    wanted = median(sides) if sides else SIZES[-1]
    return next((size for size in SIZES if size >= wanted), SIZES[-1])


def check_hyper_parameters(learner: str, hyper: dict[str, Any], classes: tuple[str, ...]) -> None:
    """See that the learner takes them, on a few made-up images, before anything is done.

    Raises:
        InputError: it does not.
    """
    size = 8
    try:
        LEARNERS[learner](networks.build("linear", len(classes), size), blank(classes, size), **hyper)
    except (ValueError, RuntimeError, ZeroDivisionError) as error:
        if isinstance(error, InputError):
            raise
        values = ", ".join(f"{name}={value}" for name, value in hyper.items())
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"--set: {learner} cannot be made with {values} ({reason}); change one.") from None


def fit_to_epochs(hyper: dict[str, Any], learner: str, epochs: int) -> dict[str, Any]:
    """Shorten a warm-up that would fill the whole training to a quarter of it."""
    default = hyper_parameters(LEARNERS[learner]).get("warm_up")
    warm_up = hyper.get("warm_up", default)
    if not isinstance(warm_up, int) or warm_up < epochs:
        return hyper
    return {**hyper, "warm_up": max(1, epochs // 4)}


def one_of(option: str, value: str | None, known: Sequence[str | None]) -> str | None:
    """The value, if it is known.

    Raises:
        InputError: it is not.
    """
    if value in known:
        return value
    words = [word for word in known if word is not None]
    raise InputError(f"{option} {value}: there is no such choice{nearest(str(value), words)}")
