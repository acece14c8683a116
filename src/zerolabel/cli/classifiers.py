"""Commands that train a classifier, use it, and evaluate it."""

from pathlib import Path
from typing import Annotated as Arg

import typer

from zerolabel.cli.arguments import (
    AllowChangedOpt,
    AnnotationsArg,
    CacheOpt,
    ClassifierArg,
    DeployOpt,
    DeviceOpt,
    DevicesOpt,
    EncoderOpt,
    EpochsOpt,
    FewShotOpt,
    FlipOpt,
    ImagesArg,
    JsonOpt,
    MethodOpt,
    OutOpt,
    OverwriteOpt,
    PrecisionOpt,
    PresetOpt,
    PretrainedOpt,
    PropagateOpt,
    ResumeOpt,
    SeedOpt,
    SetAsideOpt,
    SetOpt,
    SizeOpt,
    StoreOpt,
    StrongOpt,
    StudentOpt,
    TestOpt,
    TrackOpt,
    TruthOpt,
    ViaOpt,
    with_devices,
)
from zerolabel.cli.job import execute
from zerolabel.cli.screen import command_line, show


def train(
    images: ImagesArg,
    annotations: AnnotationsArg,
    output: OutOpt,
    vlm: Arg[
        str | None, typer.Option(help="Model whose features are used; by default the first of the annotations.")
    ] = None,
    encoder: EncoderOpt = None,
    method: MethodOpt = "coreg",
    preset: PresetOpt = "auto",
    options: SetOpt = None,
    student: StudentOpt = None,
    size: SizeOpt = None,
    pretrained: PretrainedOpt = None,
    via: ViaOpt = None,
    propagate: PropagateOpt = None,
    deploy: DeployOpt = None,
    epochs: EpochsOpt = None,
    truth: TruthOpt = None,
    test: TestOpt = None,
    few_shot: FewShotOpt = None,
    seed: SeedOpt = 0,
    flip: FlipOpt = None,
    strong: StrongOpt = "randaugment",
    set_aside: SetAsideOpt = None,
    device: DeviceOpt = "auto",
    devices: DevicesOpt = None,
    precision: PrecisionOpt = None,
    store_features: StoreOpt = None,
    cache: CacheOpt = None,
    allow_changed: AllowChangedOpt = False,
    track: TrackOpt = None,
    resume: ResumeOpt = False,
    overwrite: OverwriteOpt = False,
    as_json: JsonOpt = False,
) -> None:
    """Train a classifier on existing annotations."""
    from zerolabel.cli import planned
    from zerolabel.runs.planning import plan
    from zerolabel.runs.request import Request

    request = Request(
        images, learner=method, options=with_devices(options, devices),
        student=student, size=size, pretrained=pretrained, via=via,
        propagate=propagate, deploy=deploy, epochs=epochs, seed=seed, flip=flip, strong=strong, set_aside=set_aside,
        device=device,
        truth=truth, test_images=test, few_shot=few_shot, annotations=str(annotations), vlm=vlm,
        encoders=encoder or (), preset=preset,
        allow_changed=allow_changed, precision=precision, feature_precision=store_features,
        command=command_line(),
    )  # fmt: skip
    config = plan(request)
    execute(
        config, planned.plan(config), output, cache, resume=resume, overwrite=overwrite, as_json=as_json, track=track
    )


def evaluate(
    classifier: ClassifierArg,
    images: ImagesArg,
    truth: Arg[str, typer.Option(help="CSV of file_name,label or folder class/image.")],
    device: DeviceOpt = "auto",
    as_json: JsonOpt = False,
) -> None:
    """Evaluate a classifier on true labels."""
    from zerolabel.cli import tables
    from zerolabel.runs.inference import evaluate_classifier

    report = evaluate_classifier(classifier, images, truth, device)
    show(tables.evaluation(report), report, as_json)


def predict(
    classifier: ClassifierArg,
    images: ImagesArg,
    output: Arg[
        Path | None, typer.Option("--output", "-o", help="CSV or parquet file to write; by default standard output.")
    ] = None,
    abstain: Arg[
        bool, typer.Option("--abstain", help="Give no class below the classifier's confidence threshold.")
    ] = False,
    threshold: Arg[float | None, typer.Option(min=0, max=1, help="Give no class below this confidence.")] = None,
    device: DeviceOpt = "auto",
) -> None:
    """Predict the class and confidence of every image."""
    from zerolabel.runs.inference import predictions, write_table

    write_table(predictions(classifier, images, abstain, threshold, device), output)


def export(
    classifier: ClassifierArg,
    output: Arg[
        Path | None, typer.Option("--output", "-o", help="File to write; by default next to the classifier.")
    ] = None,
    images: Arg[str | None, typer.Option(help="Images on which the graph is checked against torch.")] = None,
    layout: Arg[
        str | None,
        typer.Option(
            "--format",
            help="uint8 images of any size as input (default), nchw floats resized before, openvino, litert or coreml.",
        ),
    ] = None,
    precision: Arg[str, typer.Option(help="Stored weights: float32, or float16 for half the size.")] = "float32",
    int8: Arg[
        bool,
        typer.Option(
            "--quantize", help="Also write an int8 file calibrated on --images; kept if it agrees and is faster."
        ),
    ] = False,
    as_json: JsonOpt = False,
) -> None:
    """Write a classifier for other programs, as ONNX, OpenVINO, LiteRT or Core ML, checked against torch."""
    from dataclasses import asdict

    from zerolabel.cli import tables
    from zerolabel.data.images import ImageSet
    from zerolabel.deployment.export import default_name, write_classes
    from zerolabel.deployment.export import export as write
    from zerolabel.deployment.quantize import quantize
    from zerolabel.errors import InputError
    from zerolabel.runs.inference import open_classifier

    if int8 and (images is None or layout not in (None, "uint8") or precision != "float32"):
        needs = "--images to set the ranges of activations, and the default --format and --precision"
        raise InputError(f"--quantize needs {needs}.")
    opened = open_classifier(classifier)
    target = output or classifier / default_name(layout, precision)
    done = write(opened, target, None if images is None else ImageSet.open(images), layout=layout, precision=precision)
    write_classes(opened, target.with_suffix(".classes.json") if output else classifier / "classes.json")
    small = target.with_suffix(".int8.onnx")
    made = quantize(target, small, ImageSet.open(str(images))) if int8 else None
    facts = {"path": str(target), **asdict(done), **({} if made is None else {"int8": asdict(made)})}
    show(tables.exported(done, target, made, small), facts, as_json)


def report(folder: Arg[Path, typer.Argument(help="Folder of a run.")]) -> None:
    """Rewrite report.html and the model card of a run."""
    from zerolabel.errors.printable import visible
    from zerolabel.report import write
    from zerolabel.review import remember

    remember(folder)
    for path in write(folder):
        print(visible(str(path)))
