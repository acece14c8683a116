"""From what a user asked to a complete configuration: everything that can be checked cheaply is checked here."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.util import find_spec
from statistics import median
from typing import Any

from zerolabel import networks, vlms
from zerolabel.adaptation import SUPERVISED
from zerolabel.adaptation import Request as Adaptation
from zerolabel.annotations.candidates import known_rule, parse_rule
from zerolabel.annotations.files import open_annotations
from zerolabel.annotations.merging import with_classes
from zerolabel.data.classes import Classes, load_classes
from zerolabel.data.images import ImageSet, Unreadable
from zerolabel.data.label_files import Labels
from zerolabel.data.views import STRONG
from zerolabel.diagnostics import open_set
from zerolabel.errors import InputError, nearest
from zerolabel.learners import LEARNERS, hyper_parameters
from zerolabel.networks.base import HEADS
from zerolabel.runs import presets
from zerolabel.runs.config import Config
from zerolabel.runs.cost import blank
from zerolabel.training.settings import make_settings, parse
from zerolabel.version import __version__
from zerolabel.vlms.chat import Chat

SIZES = (24, 28, 32, 64, 96, 128, 224)
_SAMPLE = 64
_KINDS = (
    *("glyphs", "open_clip:ARCH/PRETRAINED", "open_clip:FOLDER", "hf-hub:ORG/NAME", "adapted:FOLDER", "chat:MODEL"),
)


@dataclass(frozen=True)
class Request:
    """What a user may say; none means that the tool chooses.

    Attributes:
        images: folder or list of unlabelled images.
        classes: file of class names, or names with commas between; none where annotations are given.
        vlm: the annotating model, or several; see `zerolabel.vlms.load`. Where annotations are given, the one of their
            models whose features are read.
        templates: set or file of prompts, or one prompt, for every model; by default each model's own.
        candidates: how votes become candidate sets; see `zerolabel.annotations.parse_rule`. By default union, or as in
            the annotations that are appended to.
        learner: name of the algorithm.
        options: ``NAME=VALUE`` texts for the learner and the training settings.
        student: name of the network; "features" means an MLP on the model's frozen features.
        size: side of the student's input in pixels.
        pretrained: whether a timm student starts from pretrained weights.
        adapt: method by which the model is adapted before it annotates.
        via: "features" to learn on frozen features first.
        propagate: whether scores spread over neighbours before training.
        deploy: "one" network or "both".
        open_set: whether images may be of no class.
        epochs: of training.
        seed: of everything random.
        flip: whether an image and its mirror image mean the same.
        strong: which strong view learners get, see `views.Pixels`.
        device: "auto", "cpu", "cuda" or "mps".
        truth: true labels, for evaluation alone.
        test_images: images held out of training.
        few_shot: labels given by a person, for training.
        annotations: ``annotations.parquet`` to train on; classes, models and prompts are then its own.
        allow_changed: whether images are left out whose content is not the one that was annotated.
        append: annotations, or a run, that further annotators and images are added to.
        chat: how a model that answers in words is asked: fields of `zerolabel.vlms.chat.Chat` but its name, and
            ``questions``, which are to it what templates are to others.
        command: the command line.
    """

    images: str
    classes: str | None = None
    vlm: str | Sequence[str] | None = None
    templates: str | None = None
    candidates: str | None = None
    learner: str = "coreg"
    options: Sequence[str] = ()
    student: str | None = None
    size: int | None = None
    pretrained: bool | None = None
    adapt: str | None = None
    via: str | None = None
    propagate: bool | None = None
    deploy: str = "one"
    open_set: bool = False
    epochs: int | None = None
    seed: int = 0
    flip: bool | None = None
    strong: str = STRONG[0]
    device: str = "auto"
    truth: str | None = None
    test_images: str | None = None
    few_shot: str | None = None
    annotations: str | None = None
    allow_changed: bool = False
    append: str | None = None
    chat: dict[str, Any] = field(default_factory=dict)
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
    more = (open_set.NAME,) if request.open_set else ()
    for path, beside in ((request.truth, more), (request.few_shot, ())):
        if path is not None:
            Labels.read(path, Classes((*asked["classes"], *beside), (*asked["aliases"], *((),) * len(beside))))
    chosen = parse(request.learner, request.options)
    wanted = chosen.settings if request.epochs is None else {**chosen.settings, "epochs": request.epochs}
    preset = presets.choose(len(images), wanted.get("epochs"))
    settings = {**preset.settings, "seed": request.seed, "device": request.device, **wanted}
    epochs = make_settings(settings).epochs
    hyper = fit_to_epochs(preset.hyper_parameters.get(request.learner, {}), request.learner, epochs) | chosen.learner
    check_hyper_parameters(request.learner, hyper, asked["classes"])
    student, size = choose_student(request, images, asked)
    on_features = student in HEADS or request.via == "features"
    check_features(asked, on_features=on_features, request=request)
    check_adaptation(asked, request)
    if request.open_set and (asked["encoder"] is None or request.annotations is not None):
        raise InputError("--open-set needs an annotating model with image features, such as open_clip; add one.")
    if request.open_set and open_set.NAME in asked["classes"]:
        raise InputError(f"with --open-set the name '{open_set.NAME}' is for images of no class; rename that class.")
    config = Config(
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
        propagate=on_features and len(images) <= presets.MOST_PROPAGATED
        if request.propagate is None
        else request.propagate,
        deploy=one_of("--deploy", request.deploy, ("one", "both")) or "one",
        open_set=request.open_set,
        flip="glyphs" not in asked["vlm"] if request.flip is None else request.flip,
        strong=one_of("--strong", request.strong, STRONG) or STRONG[0],
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
    if config.propagate and request.candidates is not None:
        warnings.warn(
            f"--candidates {request.candidates} does not reach the student: with --propagate, which is the default on "
            "features, the best class of the spread scores is each image's only candidate; give --no-propagate.",
            stacklevel=2,
        )
    return config


def what_was_asked(request: Request) -> dict[str, Any]:
    """Classes, models, prompts and rule: from the options, or from annotations that are there already.

    Raises:
        InputError: an option is wrong.
    """
    wanted = () if request.vlm is None else (request.vlm,) if isinstance(request.vlm, str) else tuple(request.vlm)
    if request.annotations is not None:
        return what_was_annotated(request.annotations, wanted)
    names, rule = classes_and_rule(request)
    parse_rule(rule)
    models = tuple(dict.fromkeys(wanted or (vlms.DEFAULT_PHOTO_VLM,)))
    for model in models:
        if not is_encoder(model) and not is_chat(model):
            raise InputError(f"--vlm {model}: there is no such model{nearest(model, _KINDS)}")
    return {
        "classes": names.names,
        "aliases": names.aliases,
        "vlm": models,
        "templates": tuple(
            vlms.templates(model, request.chat.get("questions") if is_chat(model) else request.templates)
            for model in models
        ),
        "rule": rule,
        "encoder": next(filter(is_encoder, models), None),
        "chat": check_chat(models, {name: value for name, value in request.chat.items() if name != "questions"}),
    }


def check_chat(models: Sequence[str], how: dict[str, Any]) -> dict[str, Any]:
    """How the models that answer in words are asked, complete; empty where there is none.

    Raises:
        InputError: an option is wrong, or is given for nothing.
    """
    chats = [model for model in models if is_chat(model)]
    if not chats:
        if how:
            raise InputError("--endpoint and its kin are for a model that answers in words; add --vlm chat:MODEL.")
        return {}
    if "endpoint" not in how:
        raise InputError(f"--vlm {chats[0]} needs --endpoint, the URL of its server, such as http://localhost:8000/v1.")
    if any(find_spec(name) is None for name in ("httpx", "tenacity")):
        raise InputError(f'--vlm {chats[0]} needs two more packages; run: pip install "zerolabel[chat]"')
    full = Chat(chats[0].partition(":")[2], **how).to_dict()
    return {name: value for name, value in full.items() if name != "model"}


def what_was_annotated(path: str, wanted: Sequence[str]) -> dict[str, Any]:
    """The same of annotations.

    Args:
        path: where they lie.
        wanted: the one of their models whose features are to be read, or none where it does not matter.

    Raises:
        InputError: there are none, or the model is none of theirs.
    """
    annotations = open_annotations(path)
    prompts_of: dict[str, dict[str, None]] = {}
    for annotator in annotations.annotators:
        prompts_of.setdefault(annotator.model, {})[annotator.template] = None
    if len(wanted) > 1:
        raise InputError(f"--vlm {' --vlm '.join(wanted)}: training reads the features of one model; give one.")
    for model in wanted:
        if model not in prompts_of or not is_encoder(model):
            known = [model for model in prompts_of if is_encoder(model)]
            raise InputError(f"--vlm {model}: {path} has no votes of such a model{nearest(model, known)}")
    return {
        "classes": annotations.classes,
        "aliases": ((),) * len(annotations.classes),
        "vlm": tuple(prompts_of),
        "templates": tuple(tuple(templates) for templates in prompts_of.values()),
        "rule": annotations.rule,
        "encoder": next(filter(is_encoder, wanted or prompts_of), None),
    }


def classes_and_rule(request: Request) -> tuple[Classes, str]:
    """What the options say, or else the annotations that are appended to.

    Raises:
        InputError: neither says it, or they name different classes.
    """
    if request.append is None:
        if request.classes is None:
            raise InputError("give --classes: a file of class names, or names with commas between.")
        return load_classes(request.classes), request.candidates or "union"
    before = open_annotations(request.append)
    names = Classes(before.classes) if request.classes is None else load_classes(request.classes)
    with_classes(before, names.names, ("--classes", request.append))
    return names, request.candidates or known_rule(before.rule)


def is_chat(model: str) -> bool:
    """Whether a model, by its name, answers in words."""
    return model.startswith("chat:") and len(model) > len("chat:")


def is_encoder(model: str) -> bool:
    """Whether a model, by its name, has image features that a head can read."""
    return model.partition(":")[0] in ("glyphs", "open_clip", "hf-hub", "adapted")


def check_features(asked: dict[str, Any], *, on_features: bool, request: Request) -> None:
    """See that there is a model to read features of, or to annotate held-out images with, where that is asked.

    Raises:
        InputError: there is none.
    """
    if (on_features or request.propagate) and asked["encoder"] is None:
        option = "--propagate" if request.propagate else "--via features" if request.via else "--student features"
        raise InputError(
            f"{option} reads the image features of an annotating model, and {request.annotations or 'this run'} has "
            "none that gives any; leave it out, or annotate with one such as open_clip, too."
        )
    if request.test_images is not None and not asked["vlm"]:
        raise InputError(
            f"--test images are annotated by the models of {request.annotations}, which names none; leave --test out."
        )


def check_adaptation(asked: dict[str, Any], request: Request) -> None:
    """See that there is one model to adapt, and that the method can, where that is asked.

    Raises:
        InputError: it cannot.
    """
    if request.adapt is None:
        return
    models = [name for name in asked["vlm"] if is_encoder(name)]
    if request.annotations is not None or len(models) != 1:
        raise InputError(f"--adapt {request.adapt} adapts one model with image features before it annotates; give one.")
    if Adaptation.parse(models[0], request.adapt).method in SUPERVISED and request.few_shot is None:
        raise InputError(f"--adapt {request.adapt} learns from labels; give --few-shot a CSV of file_name,label.")


def choose_student(request: Request, images: ImageSet, asked: dict[str, Any]) -> tuple[str, int]:
    """Network and input size: what was asked, else by the size and number of the images.

    Raises:
        InputError: the network is unknown, or does not go with ``--via``.
    """
    size = choose_size(images) if request.size is None else request.size
    if not 8 <= size <= 2048:
        raise InputError(f"--size {size} is not between 8 and 2048 pixels; give a size such as 32.")
    name = "mlp" if request.student == "features" else request.student
    if name is None:
        name = networks.default_name(size, len(images))
        scarce = len(images) < presets.FEW * len(asked["classes"]) and asked["encoder"] is not None
        if name in networks.NAMES and request.via is None and scarce:
            name = "mlp"
    networks.build(name, 2, size)
    if name in HEADS and request.via:
        raise InputError(
            f"--via features ends in a network that reads pixels; --student {request.student} reads features."
        )
    return name, size


def few(request: Request, student: str) -> str:
    """Why a head on frozen features was chosen, where the user did not ask for one."""
    if student not in HEADS or request.student is not None:
        return ""
    return f"; fewer than {presets.FEW} a class, so a head on the annotating model's features"


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
