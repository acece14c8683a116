"""Tables printed before a run: its plan and its cost. They need no torch."""

from collections.abc import Sequence
from typing import Any

from rich.console import Group
from rich.table import Table

from zerolabel.errors.printable import cell as escape
from zerolabel.errors.redaction import redacted
from zerolabel.runs.config import HEADS, AnnotationConfig, Config
from zerolabel.runs.cost import AVERAGING, FIRST, HEAD, LEARNING, VALIDATING, Forecast, duration
from zerolabel.runs.planning.recognition import unknown_classes


def pairs(rows: Sequence[tuple[str, str]], title: str | None = None) -> Table:
    """Names and values."""
    table = Table(show_header=False, box=None, title=title, title_justify="left", pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, escape(value))
    return table


STAGES = {
    "start": "load the libraries, write the report",
    "annotate": "annotate: the model reads every image once, its prompts vote",
    "annotate held-out images": "annotate the held-out images",
    FIRST: "deploy the zero-shot ensemble, which predicts from then on",
    VALIDATING: "{learner} on frozen features without half of the human labels, which then validate it",
    LEARNING: "{learner} on frozen features, {epochs}",
    AVERAGING: "where the labels alone are about as good: a head on the mean of both",
    HEAD: "deploy this head in its place",
    "train": "{pixels}",
    "evaluate": "predict the held-out images",
    "export": "write the ONNX file and compare it with torch",
}
"""Descriptions of the stages that take time."""


def costs(config: Config, told: Forecast) -> Group:
    """The plan of a run, and the cost of each stage."""
    table = Table(box=None, pad_edge=False, title="\nwhat it takes", title_justify="left", title_style="bold")
    table.add_column("")
    table.add_column("about", justify="right")
    for stage, seconds in told.seconds.items():
        table.add_row(escape(work(config, stage)), "?" if seconds is None else duration(seconds))
    table.add_row("all", told.text.removeprefix("about "), style="bold")
    return Group(plan(config, told), table)


def work(config: Config, stage: str) -> str:
    """A stage in words."""
    training = config.training
    epochs, warm_up = training.settings["epochs"], training.hyper_parameters.get("warm_up")
    all_epochs = f"{epochs} epochs" + (f", {warm_up} of them warm-up" if isinstance(warm_up, int) else "")
    network = f"{training.student} at {training.size} pixels"
    pixels = f"{network} on the cleaned labels, {epochs} epochs" if training.via else f"{training.learner} on pixels"
    pixels = pixels if training.via else f"{training.learner}, two of {network}, {all_epochs}"
    return STAGES[stage].format(learner=training.learner, epochs=all_epochs, pixels=pixels)


def plan(config: Config, told: Forecast | None = None) -> Table:
    """The plan of a run."""
    found = "" if told is None else f"{told.n_images} in "
    doubt = unknown_classes(config.annotation.names, config.data.names)
    rows = [
        *([] if doubt is None else [("warning", doubt)]),
        ("images", found + redacted(config.data.images)),
        ("classes", f"{len(config.data.classes)}: {some(config.data.classes)}"),
        ("annotators", f"{annotators(config.annotation)}, candidates by {config.annotation.rule}"),
        *(("encoder", f"{name}, read beside") for name in config.annotation.vision_encoders),
        ("learner", f"{config.training.learner} {listed(config.training.hyper_parameters)}"),
        ("student", student(config)),
        ("training", listed(config.training.settings)),
        ("preset", config.preset),
    ]
    return pairs(rows)


def annotators(annotation: AnnotationConfig) -> str:
    """The models and their numbers of prompts."""
    adapted = f", adapted by {annotation.adapt} first" if annotation.adapt else ""
    each = [
        f"{model.name} x {len(model.templates)} prompts{adapted if model.name == annotation.encoder else ''}"
        for model in annotation.models
    ]
    return " + ".join(each) or "none, human labels alone"


def student(config: Config) -> str:
    """The network in words, and where there are several models the one whose features are read."""
    annotation, training = config.annotation, config.training
    whose = f" of {annotation.encoder}" if len(annotation.names) > 1 else ""
    by = f" by features{whose}" if whose and not training.via and training.student not in HEADS else ""
    spread = f", scores spread over neighbors{by} first" if training.propagate else ""
    spread += ", both networks deployed" if config.deployment.deploy == "both" else ""
    if training.student in HEADS:
        return f"{training.student} on frozen features{whose}{spread}"
    way = f" through frozen features{whose}" if training.via else ""
    way += ("" if training.flip else ", never mirrored") + strong_in_words(training.strong)
    return f"{training.student} at {training.size} pixels{way}{spread}"


def strong_in_words(strong: str) -> str:
    """The strong view as the end of a description; nothing where it is the usual one."""
    side = strong.partition(":")[2]
    return f", cutout{f' of {side} pixels' if side else ''} alone" if strong.startswith("cutout") else ""


def some(names: Sequence[str], most: int = 12) -> str:
    """The first few names."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def listed(values: dict[str, Any]) -> str:
    """Names and values in one line."""
    return ", ".join(f"{name}={value}" for name, value in values.items()) or "with its paper's values"
