"""From what a user asked to a complete configuration: everything that can be checked cheaply is checked here."""

from collections.abc import Sequence
from dataclasses import replace
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
from zerolabel.data.classes import Classes, load_classes, plain
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
from zerolabel.runs.presets import Preset
from zerolabel.runs.request import Request
from zerolabel.training.settings import make_settings, parse
from zerolabel.version import __version__
from zerolabel.vlms.chat import Chat
from zerolabel.vlms.names import ModelName, is_chat, is_encoder

SIZES = (24, 28, 32, 64, 96, 128, 224)
_SAMPLE = 64


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
    more = (open_set.NAME,) if request.open_set else ()
    for path, beside in ((request.truth, more), (request.few_shot, ())):
        if path is not None:
            Labels.read(path, Classes((*asked["classes"], *beside), (*asked["aliases"], *((),) * len(beside))))
    settings = {**preset.settings, "seed": request.seed, "device": request.device, **wanted}
    epochs = make_settings(settings).epochs
    hyper = fit_to_epochs(preset.hyper_parameters.get(request.learner, {}), request.learner, epochs) | chosen.learner
    check_hyper_parameters(request.learner, hyper, asked["classes"])
    student, size = choose_student(request, images, asked, preset.sizes or SIZES)
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
        ModelName.parse(model)
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
    full = Chat(ModelName.parse(chats[0]).rest, **how).to_dict()
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


def choose_propagation(request: Request, n_images: int, *, on_features: bool) -> bool:
    """Whether scores spread over neighbors before training: what was asked, else for a head on features.

    Raises:
        InputError: it is asked, and the learner takes no such scores.
    """
    takes = LEARNERS[request.learner].takes_propagated_scores
    if request.propagate is None:
        return takes and on_features and n_images <= presets.MOST_PROPAGATED
    if request.propagate and not takes:
        raise InputError(f"--propagate: {request.learner} weighs images by the annotators' own scores; leave it out.")
    return request.propagate


def check_open_set(asked: dict[str, Any], request: Request) -> None:
    """See that images of no class can be told apart, and that no class is called like them.

    Raises:
        InputError: no model gives features, or a name or an alias means the same as `open_set.NAME`.
    """
    if not request.open_set:
        return
    if asked["encoder"] is None or request.annotations is not None:
        raise InputError("--open-set needs an annotating model with image features, such as open_clip; add one.")
    names = (*asked["classes"], *(alias for aliases in asked["aliases"] for alias in aliases))
    taken = [name for name in names if plain(name) == plain(open_set.NAME)]
    if taken:
        raise InputError(f"with --open-set the name '{taken[0]}' is for images of no class; rename that class.")


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


def choose_student(request: Request, images: ImageSet, asked: dict[str, Any], sizes: Sequence[int]) -> tuple[str, int]:
    """Network and input size: what was asked, else by the size and number of the images.

    Raises:
        InputError: the network is unknown, or does not go with ``--via``.
    """
    size = choose_size(images, sizes) if request.size is None else request.size
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


def choose_size(images: ImageSet, among: Sequence[int] = SIZES) -> int:
    """The smallest of some sizes that is not below the median of the images' shorter sides, over a sample."""
    sides = []
    for i in range(0, len(images), max(1, len(images) // _SAMPLE)):
        try:
            sides.append(min(images.read(i).size))
        except Unreadable:
            continue
    wanted = median(sides) if sides else among[-1]
    return next((size for size in among if size >= wanted), among[-1])


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
