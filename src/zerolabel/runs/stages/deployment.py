"""The deployment stage: the student, or an annotating model if alarms block the student."""

import shutil
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import mean
from typing import Any

import torch

from zerolabel import vlms
from zerolabel.annotate import Annotated, annotate
from zerolabel.annotate.prompt_weights import weights_of
from zerolabel.annotations import Annotations, label_models
from zerolabel.data.images import Images
from zerolabel.deployment import latency
from zerolabel.deployment.assembly import KEPT, is_deployable, make_classifier, zero_shot
from zerolabel.deployment.classifier import Classifier
from zerolabel.deployment.export import export, write_classes, write_script
from zerolabel.diagnostics import alarms, calibration
from zerolabel.runs.config import IMITATION, AnnotationConfig, DataConfig, DeploymentConfig
from zerolabel.runs.cost import CHECKED, FIRST, HEAD
from zerolabel.runs.folder import timed
from zerolabel.runs.workspace import Workspace
from zerolabel.training.fitting import Trained
from zerolabel.vlms.clip import DualEncoder
from zerolabel.vlms.names import is_encoder

LONGEST = 512
"""Longest side of the images on which latency is measured, in pixels."""


@dataclass(frozen=True)
class Deployed:
    """A classifier was deployed.

    Attributes:
        folder: folder of the run.
    """

    folder: str


def assemble_classifier(
    data: DataConfig,
    deployment: DeploymentConfig,
    trained: Trained,
    annotated: Annotated,
    made: dict[str, Any],
) -> Classifier:
    """Make a calibrated classifier of the trained networks.

    Args:
        data: classes of the run.
        deployment: one network or both.
        trained: the networks with their predictions on the training images.
        annotated: the training images.
        made: provenance of the classifier.
    """
    count = len(trained.networks) if deployment.deploy == "both" else 1
    if trained.validation is not None and trained.validation.replaces:
        made = made | {"learner": IMITATION, "hyper_parameters": {}}
    return make_classifier(trained, annotated.annotations, data.classes, count, made)


def deploy_baseline(
    data: DataConfig, annotation: AnnotationConfig, workspace: Workspace, annotated: Annotated, made: dict[str, Any]
) -> None:
    """Deploy the zero-shot ensemble of a loaded model, so that a run that is stopped in training leaves a classifier.

    Args:
        data: classes of the run.
        annotation: the annotating models.
        workspace: folder and models.
        annotated: the training images.
        made: provenance of the run.
    """
    if not any(map(workspace.is_loaded, annotation.names)):
        return
    name, _ = best_model(data, annotation, workspace, annotated.annotations)
    if name is not None:
        classifier = zero_shot_classifier(data, annotation, workspace, name, annotated, made)
        deploy_interim(workspace, FIRST, classifier, annotated)


def deploy_teacher(workspace: Workspace, trained: Trained, classifier: Classifier, annotated: Annotated) -> None:
    """Deploy the head on frozen features until the student has learned from it, unless an alarm blocks it."""
    rows = trained.aside if len(trained.aside) else torch.arange(len(annotated.annotations))
    predicted = trained.log_probabilities[0].argmax(1)[rows]
    if not any(alarm.blocks_deployment for alarm in alarms.check(predicted, annotated.annotations.select(rows))):
        deploy_interim(workspace, HEAD, classifier, annotated)


def deploy_interim(workspace: Workspace, stage: str, classifier: Classifier, annotated: Annotated) -> None:
    """Deploy the classifier of a finished stage until a later one replaces it; not again where a run is resumed."""
    if stage not in workspace.folder.finished():
        deque(workspace.progress(stage, deployment_steps(workspace, stage, classifier, annotated)), 0)


def deployment_steps(
    workspace: Workspace, stage: str, classifier: Classifier, annotated: Annotated
) -> Iterator[Deployed]:
    """Save and export a classifier, in one step."""
    with timed(workspace.folder, stage):
        save_classifier(workspace, classifier)
        write_onnx(workspace, classifier, annotated, CHECKED["interim"])
    yield Deployed(str(workspace.folder.path))


def save_classifier(workspace: Workspace, classifier: Classifier) -> None:
    """Replace ``classifier/`` as a whole, so that a kill leaves the former one or this one."""
    place, partial = workspace.folder / "classifier", workspace.folder / ".classifier.partial"
    shutil.rmtree(partial, ignore_errors=True)
    classifier.save(partial)
    shutil.rmtree(place, ignore_errors=True)
    partial.rename(place)


def choose_deployed(
    data: DataConfig,
    annotation: AnnotationConfig,
    workspace: Workspace,
    annotated: Annotated,
    classifier: Classifier,
    made: dict[str, Any],
    metrics: dict[str, Any],
) -> Classifier:
    """The student, or the best annotating model's zero-shot ensemble; then the student is moved to ``student/``.

    Args:
        data: classes of the run.
        annotation: the annotating models.
        workspace: folder and models.
        annotated: the training images.
        classifier: the student.
        made: provenance of the student.
        metrics: metrics of the run; the choice and its reason are added.
    """
    metrics |= {"deployed": "student", "deployed_by": "default", "fallback_reason": None}
    metrics["deployment_reason"] = metrics["student_replaced"] or "no alarm was raised about it."
    shutil.rmtree(workspace.folder / "student", ignore_errors=True)  # of the same run, before it was interrupted
    bad = [alarm.text for alarm in (alarms.Alarm(**one) for one in metrics["alarms"]) if alarm.blocks_deployment]
    if not bad:
        save_classifier(workspace, classifier)
        return classifier
    name, better = best_model(data, annotation, workspace, annotated.annotations)
    if name is None:
        metrics["fallback_reason"] = f"{bad[0]} There is no model available that knows all classes to fall back on."
        metrics["deployment_reason"] = metrics["fallback_reason"]
        save_classifier(workspace, classifier)
        return classifier
    fallback = zero_shot_classifier(data, annotation, workspace, name, annotated, made)
    classifier.save(workspace.folder / "student")
    save_classifier(workspace, fallback)
    metrics |= {"deployed": "zero-shot", "deployed_by": "alarms", "fallback_reason": f"{bad[0]}{better}"}
    metrics["deployment_reason"] = metrics["fallback_reason"]
    return fallback


def best_model(
    data: DataConfig, annotation: AnnotationConfig, workspace: Workspace, annotations: Annotations
) -> tuple[str | None, str]:
    """The model to fall back on, and a sentence that explains a choice among several.

    Of several it is the model with the highest mean accuracy of its prompts, estimated by `label_models.posterior`.
    None if no model on this machine can be deployed and knows all classes.
    """
    names = annotation.names
    here = [name for name in names if is_encoder(name) and (workspace.is_loaded(name) or vlms.is_cached(name))]
    models = [name for name in here if is_deployable(workspace.model(name))]
    if not models or annotation.encoder is None or data.open_set:
        return None, ""
    if len(names) == 1:
        return models[0], ""
    votes, owners = label_models.first_votes(annotations), label_models.first_choices(annotations)
    accuracy = label_models.annotator_accuracy(votes, label_models.posterior(annotations)).tolist()
    by_model: dict[str, list[float]] = defaultdict(list)
    for column, right in zip(owners, accuracy, strict=True):
        by_model[annotations.annotators[column].model].append(right)
    best = max(models, key=lambda name: mean(by_model[workspace.model(name).name]))
    return best, f" Of the models, {best} is right most often, by an estimate without labels."


def zero_shot_classifier(
    data: DataConfig,
    annotation: AnnotationConfig,
    workspace: Workspace,
    name: str,
    annotated: Annotated,
    made: dict[str, Any],
) -> Classifier:
    """The zero-shot ensemble of one annotating model over its own prompts."""
    encoder, names, templates = workspace.model(name), data.names, annotation.templates[name]
    scored, weights = annotated.annotations, weights_of(annotated.annotations, encoder.name)
    if len(annotation.names) > 1:
        how = "uniform" if weights is None else weights
        scored = annotate(annotated.images, encoder, names, templates, cache=workspace.cache, weights=how).annotations
    made = made | {
        "annotators": [f"{encoder.name}@{encoder.revision}"],
        "templates": {name: list(templates)},
        "learner": None,
        "hyper_parameters": {},
    }
    least = calibration.threshold_for_share(scored.scores.amax(1), KEPT)
    return zero_shot(encoder, names, templates, least, made, weights)


def export_classifier(
    workspace: Workspace, classifier: Classifier, annotated: Annotated, names: Sequence[str]
) -> dict[str, Any]:
    """Write ``classifier.onnx``, checked against torch, its script ``predict.py``, and ``classes.json``.

    Args:
        workspace: folder and models.
        classifier: what is deployed.
        annotated: images to check on.
        names: of the annotating models, whose latency is measured where they are loaded, and once in a run.

    Returns:
        Metrics of the run: ``onnx``, the comparison, and ``latency``.
    """
    known = workspace.folder.finished().get("export", {}).get("latency")
    with timed(workspace.folder, "export") as facts:
        kind = "pixels" if classifier.networks[0].spec.encoder is None else "encoder"
        compared = write_onnx(workspace, classifier, annotated, CHECKED[kind])
        facts["latency"] = known or measure_latency(workspace, annotated, names)
        return {"onnx": compared, "latency": facts["latency"]}


def measure_latency(workspace: Workspace, annotated: Annotated, names: Sequence[str]) -> dict[str, Any]:
    """Latencies of ``classifier.onnx`` on images of the median size, reduced to `LONGEST` pixels, and of annotators.

    Returns:
        ``height`` and ``width`` of the images, and ``figures``, the entries of `zerolabel.deployment.latency.Latency`.
    """
    width, height = annotated.annotations.sizes.median(0).values.clamp_min(1).tolist()
    factor = min(1.0, LONGEST / max(width, height))
    height, width = max(1, round(height * factor)), max(1, round(width * factor))
    figures = latency.of_file(workspace.folder / "classifier.onnx", height, width)
    for encoder in (workspace.model(name) for name in names if workspace.is_loaded(name)):
        figures += latency.of_encoder(encoder) if isinstance(encoder, DualEncoder) else []
    return {"height": height, "width": width, "figures": [asdict(one) for one in figures]}


def write_onnx(
    workspace: Workspace, classifier: Classifier, annotated: Annotated, limit: int
) -> dict[str, float | None]:
    """Write the files of `export_classifier`, compared with torch on at most so many images."""
    folder, own = workspace.folder, annotated.features.shape[1] == classifier.dimensions
    read = annotated.features if own else annotated.head_features
    given: Images = annotated.images if classifier.dimensions is None else read[:limit]
    done = export(classifier, folder / "classifier.onnx", given, limit=limit)
    write_script(folder / "predict.py", of_embeddings=classifier.dimensions is not None)
    write_classes(classifier, folder / "classes.json")
    return {"max_difference": done.max_difference, "agreement": done.agreement, "n_checked": done.n_checked}
