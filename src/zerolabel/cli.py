"""The command line: a verb per stage; each reads files, calls one public function, and writes files."""

import errno
import json
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from typing import Annotated as Arg

import typer
from rich.console import Console
from rich.markup import escape
from safetensors import SafetensorError

from zerolabel import __version__
from zerolabel.errors import InputError

if TYPE_CHECKING:
    from zerolabel.display import Display

app = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)
screen = Console(stderr=True)
PLAIN_WIDTH = 160
UsageError: Any = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")
"""What the parser of the command line raises; typer carries its own copy of click, or uses click's."""

ImagesArg = Arg[str, typer.Argument(help="Folder of images, or a .txt, .csv or .parquet list of them.")]
ClassifierArg = Arg[Path, typer.Argument(help="Folder of a classifier, or of a run.")]
ClassesOpt = Arg[str, typer.Option("--classes", "-c", help="File of class names, or names with commas between.")]
OutOpt = Arg[Path, typer.Option("--output", "-o", help="Folder of the run.")]
VlmOpt = Arg[str | None, typer.Option(help="glyphs, open_clip:ARCH/PRETRAINED, open_clip:FOLDER or hf-hub:ORG/NAME.")]
TemplatesOpt = Arg[str | None, typer.Option(help="generic, small, openai, a file with one per line, or one template.")]
RuleOpt = Arg[str, typer.Option("--candidates", help="union, topk:K, ratio:R, mass:M or soft.")]
LearnerOpt = Arg[str, typer.Option(help="Algorithm; `zerolabel learners` lists them.")]
SetOpt = Arg[list[str] | None, typer.Option("--set", help="NAME=VALUE of the learner or the training; repeatable.")]
StudentOpt = Arg[str | None, typer.Option(help="light, preact_resnet18, a timm model, or features, linear, mlp.")]
SizeOpt = Arg[int | None, typer.Option(help="Side of the student's input in pixels.")]
PretrainedOpt = Arg[bool | None, typer.Option(help="Start a timm student from pretrained weights.")]
ViaOpt = Arg[str | None, typer.Option(help="features: learn on frozen features first, then a pixel student.")]
DeployOpt = Arg[str, typer.Option(help="one network, or both (their logits are added).")]
EpochsOpt = Arg[int | None, typer.Option(min=1, help="Epochs of training.")]
TruthOpt = Arg[str | None, typer.Option(help="CSV of file_name,label or folder class/image; for evaluation alone.")]
TestOpt = Arg[str | None, typer.Option("--test", help="Images held out of training, to evaluate on.")]
FewShotOpt = Arg[str | None, typer.Option(help="CSV of file_name,label given by a person; for training.")]
SeedOpt = Arg[int, typer.Option(help="Of weights, order and views.")]
FlipOpt = Arg[bool | None, typer.Option(help="Whether views may be mirrored; not for characters.")]
DeviceOpt = Arg[str, typer.Option(help="auto, cpu, cuda or mps.")]
ResumeOpt = Arg[bool, typer.Option("--resume", help="Finish the run that lies in the output folder.")]
OverwriteOpt = Arg[bool, typer.Option("--overwrite", help="Replace the run that lies in the output folder.")]
DryRunOpt = Arg[bool, typer.Option("--dry-run", help="Show the plan and its cost; do nothing.")]
JsonOpt = Arg[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
CacheOpt = Arg[Path | None, typer.Option(help="Folder of image features, shared between runs.")]


@app.command()
def run(
    images: ImagesArg,
    classes: ClassesOpt,
    output: OutOpt,
    vlm: VlmOpt = None,
    templates: TemplatesOpt = None,
    candidates: RuleOpt = "union",
    learner: LearnerOpt = "coreg",
    options: SetOpt = None,
    student: StudentOpt = None,
    size: SizeOpt = None,
    pretrained: PretrainedOpt = None,
    via: ViaOpt = None,
    deploy: DeployOpt = "one",
    epochs: EpochsOpt = None,
    truth: TruthOpt = None,
    test: TestOpt = None,
    few_shot: FewShotOpt = None,
    seed: SeedOpt = 0,
    flip: FlipOpt = None,
    device: DeviceOpt = "auto",
    cache: CacheOpt = None,
    resume: ResumeOpt = False,
    overwrite: OverwriteOpt = False,
    dry_run: DryRunOpt = False,
    as_json: JsonOpt = False,
) -> None:
    """Unlabelled images and class names in; a small classifier, its ONNX file and a report out."""
    from zerolabel import tables
    from zerolabel.estimate import estimate
    from zerolabel.feature_cache import default_folder
    from zerolabel.pipeline import Job
    from zerolabel.planning import Request, plan
    from zerolabel.runs import Folder

    request = Request(
        images, classes, vlm=vlm, templates=templates, candidates=candidates, learner=learner, options=options or (),
        student=student, size=size, pretrained=pretrained, via=via, deploy=deploy, epochs=epochs, seed=seed, flip=flip,
        device=device, truth=truth, test_images=test, few_shot=few_shot, command=command_line(),
    )  # fmt: skip
    config = plan(request)
    if dry_run:
        cost = estimate(config)
        show(tables.plan(config, cost), {**config.to_dict(), "estimate": cost.to_dict()}, as_json)
        return
    job = Job(config, Folder.open(output, config, resume=resume, overwrite=overwrite), display(), default_folder(cache))
    job.prepare()
    wide(stderr=True).print(tables.plan(config))
    metrics = job.run()
    show(tables.outcome(metrics, output), metrics, as_json)


@app.command()
def annotate(
    images: ImagesArg,
    classes: ClassesOpt,
    output: OutOpt,
    vlm: VlmOpt = None,
    templates: TemplatesOpt = None,
    candidates: RuleOpt = "union",
    few_shot: FewShotOpt = None,
    device: DeviceOpt = "auto",
    cache: CacheOpt = None,
    resume: ResumeOpt = False,
    overwrite: OverwriteOpt = False,
    as_json: JsonOpt = False,
) -> None:
    """Let the prompts of a vision-language model vote: annotations.parquet and skipped.csv."""
    from zerolabel import tables
    from zerolabel.feature_cache import default_folder
    from zerolabel.pipeline import Job
    from zerolabel.planning import Request, plan
    from zerolabel.runs import Folder

    request = Request(
        images, classes, vlm=vlm, templates=templates, candidates=candidates, few_shot=few_shot, device=device,
        command=command_line(),
    )  # fmt: skip
    config = plan(request)
    folder = Folder.open(output, config, resume=resume, overwrite=overwrite)
    done = Job(config, folder, display(), default_folder(cache)).annotate()
    show(*tables.annotated(done, output), as_json)


@app.command()
def train(
    images: ImagesArg,
    annotations: Arg[Path, typer.Argument(help="annotations.parquet of the images.")],
    output: OutOpt,
    learner: LearnerOpt = "coreg",
    options: SetOpt = None,
    student: StudentOpt = None,
    size: SizeOpt = None,
    pretrained: PretrainedOpt = None,
    via: ViaOpt = None,
    deploy: DeployOpt = "one",
    epochs: EpochsOpt = None,
    truth: TruthOpt = None,
    test: TestOpt = None,
    few_shot: FewShotOpt = None,
    seed: SeedOpt = 0,
    flip: FlipOpt = None,
    device: DeviceOpt = "auto",
    cache: CacheOpt = None,
    resume: ResumeOpt = False,
    overwrite: OverwriteOpt = False,
    as_json: JsonOpt = False,
) -> None:
    """Train a classifier on annotations that lie there already."""
    from zerolabel import tables
    from zerolabel.feature_cache import default_folder
    from zerolabel.pipeline import Job
    from zerolabel.planning import Request, plan
    from zerolabel.runs import Folder

    request = Request(
        images, learner=learner, options=options or (), student=student, size=size, pretrained=pretrained, via=via,
        deploy=deploy, epochs=epochs, seed=seed, flip=flip, device=device, truth=truth, test_images=test,
        few_shot=few_shot, annotations=str(annotations), command=command_line(),
    )  # fmt: skip
    config = plan(request)
    job = Job(config, Folder.open(output, config, resume=resume, overwrite=overwrite), display(), default_folder(cache))
    job.prepare()
    wide(stderr=True).print(tables.plan(config))
    metrics = job.run()
    show(tables.outcome(metrics, output), metrics, as_json)


@app.command()
def evaluate(
    classifier: ClassifierArg,
    images: ImagesArg,
    truth: Arg[str, typer.Option(help="CSV of file_name,label or folder class/image.")],
    device: DeviceOpt = "auto",
    as_json: JsonOpt = False,
) -> None:
    """Compare a classifier with true labels."""
    from zerolabel import tables
    from zerolabel.judging import judge

    report = judge(classifier, images, truth, device)
    show(tables.evaluation(report), report, as_json)


@app.command()
def predict(
    classifier: ClassifierArg,
    images: ImagesArg,
    output: Arg[Path | None, typer.Option("--output", "-o", help="CSV or parquet file; else standard output.")] = None,
    abstain: Arg[bool, typer.Option("--abstain", help="Answer nothing below the classifier's threshold.")] = False,
    threshold: Arg[float | None, typer.Option(min=0, max=1, help="Answer nothing below this confidence.")] = None,
    device: DeviceOpt = "auto",
) -> None:
    """Class and confidence of every image."""
    from zerolabel.judging import predictions, write_table

    write_table(predictions(classifier, images, abstain, threshold, device), output)


@app.command()
def export(
    classifier: ClassifierArg,
    output: Arg[Path | None, typer.Option("--output", "-o", help="ONNX file; else beside the classifier.")] = None,
    images: Arg[str | None, typer.Option(help="Images to check the graph on.")] = None,
    as_json: JsonOpt = False,
) -> None:
    """Write a classifier as one ONNX file, checked against torch."""
    from dataclasses import asdict

    from zerolabel import tables
    from zerolabel.export import export as write
    from zerolabel.images import ImageSet
    from zerolabel.judging import open_classifier

    target = output or classifier / "classifier.onnx"
    done = write(open_classifier(classifier), target, None if images is None else ImageSet.open(images))
    show(tables.exported(done, target), {"path": str(target), **asdict(done)}, as_json)


@app.command()
def report(folder: Arg[Path, typer.Argument(help="Folder of a run.")]) -> None:
    """Write report.html and the model card of a run again."""
    from zerolabel.report import write

    for path in write(folder):
        print(path)


@app.command()
def learners(
    name: Arg[str | None, typer.Argument(help="One algorithm, with its paper and options.")] = None,
    as_json: JsonOpt = False,
) -> None:
    """The algorithms, or one with its paper, arguments and defaults."""
    from zerolabel import catalogue, tables

    entries = catalogue.learners(name)
    show(tables.learners(entries, whole=name is not None), [entry.to_dict() for entry in entries], as_json)


@app.command()
def doctor(as_json: JsonOpt = False) -> None:
    """What is installed, which devices and models are at hand, what is missing and how to get it."""
    from zerolabel import tables
    from zerolabel.doctor import examine

    findings = examine()
    show(tables.doctor(findings), [finding.to_dict() for finding in findings], as_json)


@app.command()
def demo(
    output: Arg[Path, typer.Option("--output", "-o", help="Folder of the run.")] = Path("demo"),
    seed: SeedOpt = 0,
    options: SetOpt = None,
    resume: ResumeOpt = False,
    overwrite: OverwriteOpt = False,
    as_json: JsonOpt = False,
) -> None:
    """The main job on 1,797 real handwritten digits, with the built-in model: no download, no network."""
    from zerolabel.demo import write_digits

    whole = output.absolute()
    digits = write_digits(whole.with_name(f"{whole.name}-digits"))
    run(
        str(digits.train), ",".join(digits.classes), output, vlm="glyphs", test=str(digits.test),
        truth=str(digits.truth), seed=seed, options=options, resume=resume, overwrite=overwrite, as_json=as_json,
    )  # fmt: skip


def show(table: Any, data: Any, as_json: bool) -> None:
    """A table on the screen, or JSON on standard output."""
    if as_json:
        print(json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False))
    else:
        wide().print(table)


def wide(*, stderr: bool = False) -> Console:
    """The terminal, or lines of `PLAIN_WIDTH` where there is none, so that paths stay whole in files and logs."""
    console = Console(stderr=stderr)
    return console if console.is_terminal else Console(stderr=stderr, width=PLAIN_WIDTH)


def display() -> "Display":
    """Progress, on standard error."""
    from zerolabel.display import Display

    return Display(wide(stderr=True))


def version(wanted: bool) -> bool:
    """Print the version, and end, where that is wanted."""
    if wanted:
        print(__version__)
        raise typer.Exit
    return wanted


@app.callback()
def options(
    version: Arg[bool, typer.Option("--version", callback=version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """From a folder of unlabelled images and class names to a small, deployable image classifier."""


def command_line() -> list[str]:
    """The command as it was typed."""
    return [Path(sys.argv[0]).name, *sys.argv[1:]]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; a mistake of the user's is one sentence and exit code 2.

    Args:
        arguments: without the name of the program; by default those it was called with.

    Raises:
        SystemExit: with code 2 for what the user must mend, 1 for a training that failed, 130 when interrupted.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_: say("[yellow]note:[/]", str(message))
        try:
            given = sys.argv[1:] if arguments is None else list(arguments)
            app(args=given or ["--help"], prog_name="zerolabel", standalone_mode=False)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(1) from None
        except (typer.Abort, KeyboardInterrupt):
            say("[bold red]error:[/]", "stopped; the same command with --resume goes on.")
            raise SystemExit(130) from None
        except Exception as error:
            told = sentence(error)
            if told is None:
                raise
            say("[bold red]error:[/]", told)
            raise SystemExit(1 if isinstance(error, FloatingPointError) else 2) from None


def sentence(error: Exception) -> str | None:
    """What the user is told of an error; none where it is a fault of the program."""
    if isinstance(error, UsageError):
        message = " ".join(error.format_message().split()).rstrip(".")
        command = error.ctx.command_path if getattr(error, "ctx", None) else "zerolabel"
        message = f"{message[:1].lower()}{message[1:]}"
        return message if message.endswith("?") else f"{message}; see `{command} --help`."
    if isinstance(error, OSError | SafetensorError) and (
        getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error)
    ):
        return "the disk is full; free some space and repeat the command with --resume: what was finished stays."
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {(error.strerror or str(error)).lower()}; give another path, or mend this one."
    return str(error) if isinstance(error, InputError | FloatingPointError) else None


def say(mark: str, text: str) -> None:
    """One line on standard error, whatever is in it."""
    screen.print(mark, escape(text), soft_wrap=True, highlight=False)
