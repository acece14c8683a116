"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated as Arg

import typer

ImagesArg = Arg[str, typer.Argument(help="Folder, image, list, tars, parquet file, hf:DATA_SET or URL.")]
ClassifierArg = Arg[Path, typer.Argument(help="Folder of a classifier, or of a run.")]
ClassesOpt = Arg[str, typer.Option("--classes", "-c", help="File of class names, or names separated by commas.")]
OutOpt = Arg[Path, typer.Option("--output", "-o", help="Folder of the run.")]
VlmOpt = Arg[
    list[str] | None,
    typer.Option(
        help="glyphs, open_clip:ARCH/PRETRAINED, open_clip:FOLDER, hf-hub:ORG/NAME or embeddings:FOLDER; repeatable."
    ),
]
EncoderOpt = Arg[
    list[str] | None,
    typer.Option(help="Additional vision-only encoder: timm:MODEL, timm:FOLDER or embeddings:FOLDER; repeatable."),
]
TemplatesOpt = Arg[
    str | None,
    typer.Option(help="generic, small, openai, default (the model's own), a file with one per line, or one template."),
]
TemplatesOfEachOpt = Arg[
    list[str] | None,
    typer.Option(
        "--templates",
        help="generic, small, openai, default (the model's own), a file with one per line, or one template; "
        "one for all models, or repeated for each --vlm in order.",
    ),
]
CandidatesOpt = Arg[
    str | None,
    typer.Option(
        "--candidates",
        help="Candidate rule: union, votes:M, topk:K, ratio:R, mass:M (0.9 for photographs), soft, quantile:A,B or "
        "posterior:M,MODEL.",
    ),
]
WeightsOpt = Arg[
    str | None,
    typer.Option("--prompt-weights", help="Weights of the prompts: estimated (default, without labels) or uniform."),
]
AnnotationsArg = Arg[Path, typer.Argument(help="annotations.parquet, or the folder that holds it.")]
MethodOpt = Arg[str, typer.Option(help="Learner; `zerolabel learners` lists them.")]
SetOpt = Arg[list[str] | None, typer.Option("--set", help="NAME=VALUE of the learner or the training; repeatable.")]
StudentOpt = Arg[
    str | None,
    typer.Option(help="Student network: light, preact_resnet18, a timm model, or a head: features, linear, mlp."),
]
SizeOpt = Arg[int | None, typer.Option(help="Side of the student's input in pixels.")]
PretrainedOpt = Arg[bool | None, typer.Option(help="Start a timm student from pretrained weights.")]
ViaOpt = Arg[
    str | None,
    typer.Option(
        help="features (default for photographs): train a head on frozen features, then a pixel student; or none."
    ),
]
PropagateOpt = Arg[
    bool | None, typer.Option(help="Propagate scores over a k-NN graph before training; on by default for glyphs.")
]
SetAsideOpt = Arg[
    float | None,
    typer.Option(help="Share of the images kept out of training to check for alarms (default 0.1; 0 with --test)."),
]
AdaptOpt = Arg[str | None, typer.Option(help="Adapt the model first: grip, ueo, cpl, upl, ... as in `adapt --method`.")]
OpenSetOpt = Arg[
    bool,
    typer.Option("--open-set", help="Detect out-of-distribution images and train an extra class 'unknown' on them."),
]
DeployOpt = Arg[str | None, typer.Option(help="one (default), or both networks, whose logits are added.")]
PresetOpt = Arg[
    str,
    typer.Option(
        help="Default values: auto (by the number of images), small, or paper (Co-Reg as in its authors' code, with "
        "its network and schedule)."
    ),
]
EpochsOpt = Arg[int | None, typer.Option(min=1, help="Training epochs.")]
TimeOpt = Arg[
    str | None,
    typer.Option(
        help="Time that the run may take, such as 20m or 1h30m: picks student, size and epochs to fit; auto: about "
        "ten minutes of training."
    ),
]
TruthOpt = Arg[
    str | None, typer.Option(help="True labels, for evaluation only: a CSV of file_name,label or a folder class/image.")
]
TestOpt = Arg[str | None, typer.Option("--test", help="Held-out images to evaluate on.")]
FewShotOpt = Arg[str | None, typer.Option(help="CSV of file_name,label with a few human labels to train on.")]
AllowChangedOpt = Arg[
    bool,
    typer.Option("--allow-changed", help="Skip images whose content has changed since annotation instead of refusing."),
]
SeedOpt = Arg[int, typer.Option(help="Random seed (initialization, shuffling, augmentation).")]
FlipOpt = Arg[bool | None, typer.Option(help="Random horizontal flips; turn off for characters.")]
StrongOpt = Arg[
    str,
    typer.Option(help="Strong augmentation: randaugment, or cutout or cutout:PIXELS alone, for gray images."),
]
DeviceOpt = Arg[str, typer.Option(help="auto, cpu, cuda or mps.")]
DevicesOpt = Arg[
    int | None,
    typer.Option(min=1, help="Processes that train together, each on a graphics card or a part of the cores."),
]
PrecisionOpt = Arg[
    str | None,
    typer.Option(help="Precision of the image encoder: float32, bfloat16, or auto for the fastest on this device."),
]
StoreOpt = Arg[
    str | None, typer.Option("--store-features", help="Precision of cached image features: float32 or float16.")
]
TrackOpt = Arg[
    list[str] | None,
    typer.Option("--track", help="Also write each epoch to tensorboard, mlflow or wandb (offline); repeatable."),
]
ResumeOpt = Arg[bool, typer.Option("--resume", help="Resume the run in the output folder.")]
OverwriteOpt = Arg[bool, typer.Option("--overwrite", help="Replace the run in the output folder.")]
DryRunOpt = Arg[bool, typer.Option("--dry-run", help="Print the plan and its cost, and stop.")]
JsonOpt = Arg[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
EngineOpt = Arg[
    str, typer.Option(help="local, or ray: the workers of a cluster; pip install 'zerolabel-vision\\[ray]'.")
]
RayAddressOpt = Arg[
    str | None, typer.Option(help="Address of the Ray cluster for --engine ray (default: a local one).")
]
CacheOpt = Arg[Path | None, typer.Option(help="Cache folder for image features, shared between runs.")]

_WORDS = "Chat models (--vlm chat:MODEL)"
EndpointOpt = Arg[str | None, typer.Option(help="URL of the server, up to /chat/completions.", rich_help_panel=_WORDS)]
KeyOpt = Arg[
    str | None,
    typer.Option(
        "--api-key-env",
        help="Environment variable that holds the API key (default OPENAI_API_KEY).",
        rich_help_panel=_WORDS,
    ),
]
SideOpt = Arg[
    int | None,
    typer.Option(
        "--image-side", help="Longest side of the image sent, in pixels (default 512).", rich_help_panel=_WORDS
    ),
]
ChoicesOpt = Arg[int | None, typer.Option(help="Max. classes per answer (default 3).", rich_help_panel=_WORDS)]
AnswerTokensOpt = Arg[
    int | None,
    typer.Option(help="Max. output tokens per class (default 60; raise for reasoning models).", rich_help_panel=_WORDS),
]
ConcurrencyOpt = Arg[int | None, typer.Option(help="Concurrent requests (default 8).", rich_help_panel=_WORDS)]
RateOpt = Arg[
    float | None, typer.Option("--rate", help="Requests per minute (default: no limit).", rich_help_panel=_WORDS)
]
TimeoutOpt = Arg[
    float | None, typer.Option(help="Timeout of one request in seconds (default 60).", rich_help_panel=_WORDS)
]
RetriesOpt = Arg[int | None, typer.Option(min=0, help="Retries after a failure (default 6).", rich_help_panel=_WORDS)]
PriceInOpt = Arg[float | None, typer.Option(min=0, help="Price per 1M input tokens.", rich_help_panel=_WORDS)]
PriceOutOpt = Arg[float | None, typer.Option(min=0, help="Price per 1M output tokens.", rich_help_panel=_WORDS)]
BudgetOpt = Arg[float | None, typer.Option(min=0, help="Maximum total cost.", rich_help_panel=_WORDS)]


def engine_of(name: str, address: str | None) -> str:
    """Engine as functions of this package take it: its name, with the address of its cluster where one is given."""
    return f"{name}:{address}" if address else name


def with_devices(options: list[str] | None, devices: int | None) -> list[str]:
    """The texts after ``--set``, with the number of devices where it is given."""
    return [*(options or ()), *([] if devices is None else [f"devices={devices}"])]


def given_options(**options: object) -> dict[str, object]:
    """The options that were given."""
    return {name: value for name, value in options.items() if value is not None}
