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
        help="text, classwise, conditional, classifier, visual, deep, both, norm, lora or adapter, or several with a "
        "plus; else the method's own."
    ),
]
PresetOpt = Arg[
    str | None, typer.Option(help=f"paper: training values of the authors' code, for {', '.join(methods.PUBLISHED)}.")
]
StartOpt = Arg[str | None, typer.Option(help="words (default) or random: where learned text tokens start.")]
CropOpt = Arg[str | None, typer.Option(help="padding (default) or resized: random crops of the training views.")]


def adapt(
    images: ImagesArg,
    classes: ClassesOpt,
    output: Arg[Path, typer.Option("--output", "-o", help="Folder of what is learned.")],
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
        typer.Option(help="grip, fpl, ifpl: classes of which --few-shot labels all images; the others get no label."),
    ] = None,
    propagate: Arg[
        bool, typer.Option("--propagate/--no-propagate", help="Spread scores over neighbors before training.")
    ] = True,
    open_set: OpenSetOpt = False,
    preset: PresetOpt = None,
    start: StartOpt = None,
    crop: CropOpt = None,
    options: SetOpt = None,
    epochs: EpochsOpt = None,
    seed: SeedOpt = 0,
    flip: FlipOpt = None,
    device: DeviceOpt = "auto",
    cache: CacheOpt = None,
    resume: ResumeOpt = False,
    as_json: JsonOpt = False,
) -> None:
    """Adapt a VLM to unlabeled images (prompt tuning, LoRA, ...); `annotate --vlm adapted:OUTPUT` uses it."""
    from zerolabel import vlms
    from zerolabel.adaptation.adapt import adapt
    from zerolabel.adaptation.request import Request
    from zerolabel.annotate.feature_cache import default_folder
    from zerolabel.cli import tables
    from zerolabel.data.classes import load_classes
    from zerolabel.data.images import ImageSet
    from zerolabel.data.label_files import Labels
    from zerolabel.files.skipped import save_skipped
    from zerolabel.training import best_device

    model = vlm or vlms.DEFAULT_PHOTO_VLM
    request = Request.parse(
        model, method, options or (), tune=tune, flip=flip, preset=preset, start=start, crop=crop,
        common={"epochs": epochs, "seed": seed, "device": device}, propagate=propagate, open_set=open_set,
    )  # fmt: skip
    names, asked = load_classes(classes), vlms.templates(model, templates)
    if seen_classes is not None:
        request.hyper_parameters["seen"] = seen_ids(seen_classes, names, method, few_shot)
    found, human = ImageSet.open(images), Labels.read(few_shot, names, use="train") if few_shot else None
    judges = Labels.read(truth, names) if truth else None
    done = adapt(
        found, vlms.load(model, best_device(device)), names, asked, request, output, cache=default_folder(cache),
        resume=resume, labels=lambda a: told_labels(a, found, human, judges), progress=display(),
    )  # fmt: skip
    save_skipped(output, done.skipped, empty=False)
    told = facts(done) | (judged(done, judges) if judges else {})
    show(tables.pairs(outcome(done, told)), {"output": str(output), **told}, as_json)


def told_labels(said: "Annotations", images: "ImageSet", human: "Labels | None", judges: "Labels | None") -> "Tensor":
    """Class ids that humans gave, -1 elsewhere; the truth is only seen to fit, before anything is learned.

    Raises:
        InputError: the truth labels none of the images, or the few labels name images that are not there.
    """
    from zerolabel.data.label_files import places_known

    if judges is not None:
        skipped = sorted(set(images.file_names) - set(said.file_names))
        places_known(judges.match(said.file_names, said.sha256, skipped, subset=True), judges.path)
    return said.labels if human is None else human.match(said.file_names, said.sha256)


def facts(done: "Adapted") -> dict[str, Any]:
    """What was found, as plain data."""
    from dataclasses import asdict

    from zerolabel.evaluation.equity import estimated

    counts = {"n_images": len(done.annotations), "n_skipped": len(done.skipped)}
    gains = estimated(done.annotations.scores, done.probabilities, done.annotations.classes)
    halves = {"poorer_half": gains.poorer, "richer_half": gains.richer}
    checked = {**asdict(done.check), "helped": done.check.helped, "reason": done.check.reason}
    return {**counts, **checked, "estimated_gains": halves}


def judged(done: "Adapted", truth: "Labels") -> dict[str, Any]:
    """Accuracy before and after on the images of the training, and whom it helped."""
    from zerolabel.evaluation import metrics
    from zerolabel.evaluation.equity import equity

    said = done.annotations
    labels = truth.match(said.file_names, said.sha256, [name for name, _ in done.skipped], subset=True)
    before, after = (metrics.evaluate(p, labels, said.classes) for p in (said.scores, done.probabilities))
    gains = equity(dict(before["per_class"]), dict(after["per_class"]))
    return {"accuracy": [before["accuracy"], after["accuracy"]], "equity": gains.to_dict()}


def outcome(done: "Adapted", told: dict[str, Any]) -> list[tuple[str, str]]:
    """The same, in words."""
    found = done.check
    gains = told["estimated_gains"]
    rows = [("estimated", in_points(gains["poorer_half"], gains["richer_half"], "without labels, "))]
    if "accuracy" in told:
        equity = told["equity"]
        rows = [
            ("accuracy", "{:.2%}, now {:.2%}".format(*told["accuracy"])),
            ("gains", in_points(equity["poorer_half_gain"], equity["richer_half_gain"])),
        ]
    return [
        ("images", f"{len(done.annotations)}, {len(done.skipped)} unreadable"),
        ("best class", f"the same as before on {found.kept:.1%}"),
        ("confidence", "{:.3f}, now {:.3f}".format(*found.confidence)),
        ("dispersity", "{:.3f}, now {:.3f}".format(*found.dispersity)),
        *rows,
        ("used", "what was learned" if found.helped else f"the model as it was: {found.reason}"),
        ("written", f"{done.folder}; annotate with --vlm adapted:{done.folder}"),
    ]


def in_points(poorer: float | None, richer: float | None, how: str = "") -> str:
    """The gains of both halves of the classes, in words."""
    if poorer is None or richer is None:
        return "nothing can be said of one class"
    return (
        f"{how}{100 * poorer:+.1f} points for the less accurate half of the classes, {100 * richer:+.1f} for the other"
    )


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
