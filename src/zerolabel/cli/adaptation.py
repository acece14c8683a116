"""The command that makes a vision-language model better on the user's images, without labels."""

from pathlib import Path
from typing import TYPE_CHECKING, Any
from typing import Annotated as Arg

import typer

from zerolabel.adaptation import methods
from zerolabel.cli.arguments import (
    CacheOpt,
    ClassesOpt,
    DeviceOpt,
    EpochsOpt,
    FewShotOpt,
    FlipOpt,
    ImagesArg,
    JsonOpt,
    OpenSetOpt,
    ResumeOpt,
    SeedOpt,
    SetOpt,
    TemplatesOpt,
    TruthOpt,
)
from zerolabel.cli.screen import display, show
from zerolabel.errors import InputError, nearest

if TYPE_CHECKING:
    from torch import Tensor

    from zerolabel.adaptation.adapt import Adapted
    from zerolabel.annotations import Annotations
    from zerolabel.data.classes import Classes
    from zerolabel.data.images import ImageSet
    from zerolabel.data.label_files import Labels


MethodOpt = Arg[
    str,
    typer.Option(help=methods.summary()),
]
TuneOpt = Arg[
    str | None,
    typer.Option(
        help="text, classwise, conditional, classifier, visual, deep, both, norm, lora or adapter, or several joined "
        "by +; by default the method's own."
    ),
]
PresetOpt = Arg[
    str | None, typer.Option(help=f"paper: training values of the authors' code, for {', '.join(methods.PUBLISHED)}.")
]
StartOpt = Arg[str | None, typer.Option(help="Initialization of learned text tokens: words (default) or random.")]
CropOpt = Arg[str | None, typer.Option(help="Random crops of the training views: padding (default) or resized.")]


def adapt(
    images: ImagesArg,
    classes: ClassesOpt,
    output: Arg[Path, typer.Option("--output", "-o", help="Folder of the adapted model.")],
    vlm: Arg[
        str | None, typer.Option(help="glyphs, open_clip:ARCH/PRETRAINED, open_clip:FOLDER or hf-hub:ORG/NAME.")
    ] = None,
    method: MethodOpt = "grip",
    tune: TuneOpt = None,
    templates: TemplatesOpt = None,
    few_shot: FewShotOpt = None,
    truth: TruthOpt = None,
    seen_classes: Arg[
        str | None,
        typer.Option(help="grip, fpl, ifpl: classes that --few-shot labels; the others have no labels."),
    ] = None,
    propagate: Arg[
        bool, typer.Option("--propagate/--no-propagate", help="Propagate scores over a k-NN graph before training.")
    ] = True,
    open_set: OpenSetOpt = False,
    preset: PresetOpt = None, start: StartOpt = None, crop: CropOpt = None, options: SetOpt = None,
    epochs: EpochsOpt = None, seed: SeedOpt = 0, flip: FlipOpt = None, device: DeviceOpt = "auto",
    cache: CacheOpt = None, resume: ResumeOpt = False, as_json: JsonOpt = False,
) -> None:  # fmt: skip
    """Adapt a VLM to unlabeled images (prompt tuning, LoRA, ...); `annotate --vlm adapted:OUTPUT` uses it."""
    from functools import partial

    from zerolabel import vlms
    from zerolabel.adaptation.adapt import adapt
    from zerolabel.adaptation.request import Request
    from zerolabel.annotate.feature_cache import default_folder
    from zerolabel.cli import planned
    from zerolabel.data.classes import load_classes
    from zerolabel.data.images import ImageSet
    from zerolabel.files.skipped import save_skipped
    from zerolabel.training import best_device

    requested = partial(
        Request.parse, method=method, assignments=options or (), tune=tune, flip=flip, preset=preset, start=start,
        crop=crop, common={"epochs": epochs, "seed": seed, "device": device}, propagate=propagate, open_set=open_set,
    )  # fmt: skip
    requested(vlm or vlms.DEFAULT_PHOTO_VLM)  # options are checked before any image is read
    found = ImageSet.open(images)
    model = vlm or vlms.default_name(found)
    request = requested(model)
    names, asked = load_classes(classes), vlms.templates(model, templates)
    if seen_classes is not None:
        request.hyper_parameters["seen"] = seen_ids(seen_classes, names, method, few_shot)
    human, true_labels = read_labels(few_shot, truth, names)
    done = adapt(
        found, vlms.load(model, best_device(device)), names, asked, request, output, cache=default_folder(cache),
        resume=resume, labels=lambda a: human_labels(a, found, human, true_labels), progress=display(),
    )  # fmt: skip
    save_skipped(output, done.skipped, empty=False)
    results = facts(done) | (accuracies(done, true_labels) if true_labels else {})
    show(planned.pairs(outcome(done, results)), {"output": str(output), **results}, as_json)


def read_labels(few_shot: str | None, truth: str | None, classes: "Classes") -> tuple["Labels | None", "Labels | None"]:
    """Human labels for training and true labels for evaluation, each None if not given."""
    from zerolabel.data.label_files import Labels

    human = Labels.read(few_shot, classes, use="train") if few_shot else None
    return human, Labels.read(truth, classes) if truth else None


def human_labels(
    annotations: "Annotations", images: "ImageSet", human: "Labels | None", true_labels: "Labels | None"
) -> "Tensor":
    """Human labels as class ids, -1 elsewhere; true labels are only checked to match the images, before any training.

    Raises:
        InputError: the true labels name none of the images, or the human labels name missing images.
    """
    from zerolabel.data.label_files import places_known

    if true_labels is not None:
        skipped = sorted(set(images.file_names) - set(annotations.file_names))
        places_known(
            true_labels.match(annotations.file_names, annotations.sha256, skipped, subset=True), true_labels.path
        )
    return annotations.labels if human is None else human.match(annotations.file_names, annotations.sha256)


def facts(done: "Adapted") -> dict[str, Any]:
    """The results of an adaptation as JSON-serializable data."""
    from dataclasses import asdict

    from zerolabel.evaluation.class_gains import estimated_class_gains

    counts = {"n_images": len(done.annotations), "n_skipped": len(done.skipped)}
    gains = estimated_class_gains(done.annotations.scores, done.probabilities, done.annotations.classes)
    halves = {"lower_half": gains.lower_half, "upper_half": gains.upper_half}
    checked = {**asdict(done.check), "helped": done.check.helped, "reason": done.check.reason}
    return {**counts, **checked, "estimated_gains": halves}


def accuracies(done: "Adapted", truth: "Labels") -> dict[str, Any]:
    """Accuracy before and after on the training images, and the gain per class."""
    from zerolabel.evaluation import metrics
    from zerolabel.evaluation.class_gains import class_gains

    annotations = done.annotations
    labels = truth.match(annotations.file_names, annotations.sha256, [name for name, _ in done.skipped], subset=True)
    before, after = (metrics.evaluate(p, labels, annotations.classes) for p in (annotations.scores, done.probabilities))
    gains = class_gains(dict(before["per_class"]), dict(after["per_class"]))
    return {"accuracy": [before["accuracy"], after["accuracy"]], "class_gains": gains.to_dict()}


def outcome(done: "Adapted", results: dict[str, Any]) -> list[tuple[str, str]]:
    """Rows of the summary printed after an adaptation."""
    found = done.check
    gains = results["estimated_gains"]
    rows = [("estimated gains", in_points(gains["lower_half"], gains["upper_half"]))]
    if "accuracy" in results:
        class_gains = results["class_gains"]
        rows = [
            ("accuracy", "{:.2%}, adapted {:.2%}".format(*results["accuracy"])),
            ("class gains", in_points(class_gains["lower_half_gain"], class_gains["upper_half_gain"])),
        ]
    return [
        ("images", f"{len(done.annotations)}, {len(done.skipped)} unreadable"),
        ("top-1 class", f"unchanged on {found.kept:.1%} of the images"),
        ("confidence", "{:.3f}, adapted {:.3f}".format(*found.confidence)),
        ("dispersity", "{:.3f}, adapted {:.3f}".format(*found.dispersity)),
        *rows,
        ("deployed", "the adapted model" if found.helped else f"the unadapted model: {found.reason}"),
        ("written", f"{done.folder}; annotate with --vlm adapted:{done.folder}"),
    ]


def in_points(lower: float | None, upper: float | None) -> str:
    """Mean accuracy gain of the less and the more accurate half of the classes."""
    if lower is None or upper is None:
        return "not available for a single class"
    return f"{100 * lower:+.1f} points on the less accurate half of the classes, {100 * upper:+.1f} on the other half"


def seen_ids(text: str, classes: "Classes", method: str, few_shot: str | None) -> tuple[int, ...]:
    """Ids of the classes of ``--seen-classes``.

    Raises:
        InputError: a class is unknown, the method knows no such classes, or there are no labels of them.
    """
    from zerolabel.adaptation.request import find

    if find(method).learner != "grip":
        raise InputError(f"--seen-classes goes with grip, ifpl and fpl, not with --method {method}; leave it out.")
    if few_shot is None:
        raise InputError("--seen-classes needs --few-shot, the labels of all images of these classes.")
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in classes.names]
    if unknown or not names:
        raise InputError(f"--seen-classes {text}: there is no such class{nearest(text, classes.names)}")
    return tuple(classes.names.index(name) for name in names)
