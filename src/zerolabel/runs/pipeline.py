"""The main job: its stages in their order. Each stage takes what the stage before it left and returns a value."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from zerolabel import report, review
from zerolabel.annotations.candidates import check_enough
from zerolabel.runs.context import Context
from zerolabel.runs.folder import seconds, write_json
from zerolabel.runs.inputs import check_annotated, check_labels, check_unchanged
from zerolabel.runs.outcome import check_truth
from zerolabel.runs.stages.adaptation import adapt_encoder
from zerolabel.runs.stages.annotation import annotate_held_out, annotate_images
from zerolabel.runs.stages.deployment import choose_deployed, export_classifier
from zerolabel.runs.stages.evaluation import evaluate
from zerolabel.runs.stages.open_set import split_unknown
from zerolabel.runs.stages.training import needs_features, train_classifier
from zerolabel.vlms.names import is_encoder


def prepare(context: Context) -> None:
    """Load the models that are needed, so that a wrong name ends the run before any work is done.

    Raises:
        InputError: there is no such model, or it cannot be downloaded.
    """
    config = context.config
    if config.annotation.annotations is None or config.data.test_images:
        for name in filter(is_encoder, config.annotation.names):
            context.model(name)
    if config.annotation.annotations is not None and needs_features(config.training):
        _ = context.encoder


@contextmanager
def begun(context: Context, *, resume: bool, overwrite: bool) -> Iterator[None]:
    """Hold the run's folder: all that can refuse a run does so before anything in it is replaced.

    Raises:
        InputError: the folder holds another run, or one of other data, or another command is running in it; or a model
            cannot be loaded.
    """
    gives_way = context.folder.look(context.config, resume=resume, overwrite=overwrite)
    if gives_way:
        check_annotated(context.config.data, context.config.annotation)
    else:
        check_unchanged(context.folder, context.config)
    check_labels(context.config.data, context.config.annotation.append)
    prepare(context)
    with context.folder.begun(context.config, resume=resume, overwrite=overwrite):
        yield


def run(context: Context) -> dict[str, Any]:
    """All stages of the main job.

    Returns:
        The content of ``metrics.json``.

    Raises:
        InputError: an input cannot be used, or too few images have a candidate class.
    """
    context = adapt_encoder(context)
    annotated = annotate_images(context)
    check_enough(annotated.annotations)
    held_out = annotate_held_out(context, annotated)
    context, annotated, held_out = split_unknown(context, annotated, held_out)
    if context.config.data.truth is not None:
        check_truth(context.config.data, annotated, held_out)
    trained, student = train_classifier(context, annotated)
    metrics = evaluate(context, annotated, held_out, trained, student)
    classifier = choose_deployed(context, annotated, student, metrics)
    metrics["onnx"] = export_classifier(context, classifier, (held_out or annotated).images)
    metrics["seconds"] = seconds(context.folder)
    write_json(context.folder / "metrics.json", metrics)
    metrics |= review.remember(context.folder.path)
    report.write(context.folder.path)
    shutil.rmtree(context.folder / "cache", ignore_errors=True)
    return metrics


__all__ = ["begun", "prepare", "run"]
