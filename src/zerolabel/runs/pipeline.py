"""The main job: its stages in order. Each takes its parts of the configuration and the values of earlier stages."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from zerolabel import review
from zerolabel.annotations.candidates import check_enough
from zerolabel.deployment.classifier import Classifier
from zerolabel.runs.config import Config
from zerolabel.runs.cost import forecast
from zerolabel.runs.folder import known_time, seconds, write_json
from zerolabel.runs.inputs import check_annotated, check_labels, check_unchanged, training_data
from zerolabel.runs.limits import training_end
from zerolabel.runs.outcome import check_truth
from zerolabel.runs.provenance import provenance
from zerolabel.runs.redeployment import settle
from zerolabel.runs.stages import deployment
from zerolabel.runs.stages.adaptation import adapt_encoder
from zerolabel.runs.stages.annotation import annotate_held_out, annotate_images
from zerolabel.runs.stages.evaluation import evaluate_best
from zerolabel.runs.stages.open_set import split_unknown
from zerolabel.runs.stages.training import needs_features, train_stages
from zerolabel.runs.stages.vision import add_vision, vision_encoder
from zerolabel.runs.workspace import Workspace
from zerolabel.training.fitting import Trained
from zerolabel.vlms.names import is_encoder


def prepare(config: Config, workspace: Workspace) -> None:
    """Load the required models, so that a wrong name ends the run before any work is done.

    Raises:
        InputError: there is no such model, or it cannot be downloaded.
    """
    annotation = config.annotation
    if annotation.annotations is None or config.data.test_images:
        for name in filter(is_encoder, annotation.names):
            workspace.model(name)
    if annotation.annotations is not None and needs_features(config.training):
        workspace.model(annotation.required_encoder)
    for name in annotation.vision_encoders:
        vision_encoder(annotation, workspace, name)


@contextmanager
def begun(config: Config, workspace: Workspace, *, resume: bool, overwrite: bool) -> Iterator[None]:
    """Check everything that can end the run early, then hold its folder.

    Raises:
        InputError: the folder contains another run or one of other data, another command is running in it, or a model
            cannot be loaded.
    """
    folder, data, annotation = workspace.folder, config.data, config.annotation
    is_replaced = folder.check(config, resume=resume, overwrite=overwrite)
    if is_replaced:
        check_annotated(data, annotation)
    else:
        check_unchanged(folder, data, annotation)
    check_labels(data, annotation.append)
    prepare(config, workspace)
    with folder.begun(config, resume=resume, overwrite=overwrite):
        yield


def run(config: Config, workspace: Workspace) -> dict[str, Any]:
    """Run all stages of the main job.

    Returns:
        The content of ``metrics.json``.

    Raises:
        InputError: an input cannot be used, or too few images have a candidate class.
    """
    folder, features = workspace.folder, needs_features(config.training)
    before, expected = sum(seconds(folder).values(), 0.0), forecast(config)
    end = training_end(config.training, expected, before)

    annotation = adapt_encoder(config.data, config.annotation, config.training, workspace)
    annotated = annotate_images(config.data, annotation, workspace, features=features)
    check_enough(annotated.annotations)
    found, annotated = len(annotated.annotations), add_vision(annotation, workspace, annotated)
    if len(annotated.annotations) < found:
        annotated.annotations.save(folder / "annotations.parquet")
    held_out = annotate_held_out(config.data, annotation, workspace, annotated, features=features)
    held_out = None if held_out is None else add_vision(annotation, workspace, held_out)
    data, annotated, held_out = split_unknown(config.data, annotation, workspace, annotated, held_out)
    check_truth(data, annotated, held_out)

    config = replace(config, data=data, annotation=annotation)
    read = [workspace.model(annotation.required_encoder).revision] if features else []
    revision = " ".join([*read, *(one.revision for one in annotated.vision)])
    made_of, made = training_data(config, annotated.annotations, revision), provenance(config, annotated)
    if expected.is_long:
        deployment.deploy_baseline(data, annotation, workspace, annotated, made)
    candidates: list[tuple[Trained, Classifier]] = []
    for trained in train_stages(data, annotation, config.training, workspace, annotated, made_of, end):
        student = deployment.assemble_classifier(data, config.deployment, trained, annotated, made)
        candidates.insert(0, (trained, student))
        if trained.is_teacher:
            deployment.deploy_teacher(workspace, *candidates[0], annotated)

    student, metrics = evaluate_best(data, annotation, config.training, workspace, annotated, held_out, candidates)
    classifier = deployment.choose_deployed(data, annotation, workspace, annotated, student, made, metrics)
    metrics |= deployment.export_classifier(workspace, classifier, held_out or annotated, annotation.names)
    metrics |= {"vision_encoders": made["vision_encoders"], "seconds": seconds(folder)}
    metrics["time"] = known_time(folder.path) or expected.compare(metrics["seconds"], before + workspace.elapsed)
    write_json(folder / "metrics.json", metrics)
    if review.remember(folder.path):
        settle(folder.path, workspace.cache)
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    review.write_pages(folder.path, metrics)
    shutil.rmtree(folder / "cache", ignore_errors=True)
    return metrics


__all__ = ["begun", "prepare", "run"]
