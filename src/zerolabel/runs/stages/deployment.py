"""What a run deploys: its student, or an annotating model where alarms call the student worse."""

import shutil
from collections import defaultdict
from statistics import mean
from typing import Any

from zerolabel import vlms
from zerolabel.annotate import Annotated, annotate
from zerolabel.annotate.prompt_weights import weights_of
from zerolabel.annotations import Annotations, label_models
from zerolabel.data.images import ImageSet
from zerolabel.deployment.assembly import KEPT, is_deployable, zero_shot
from zerolabel.deployment.classifier import Classifier
from zerolabel.deployment.export import export, write_classes, write_script
from zerolabel.diagnostics import alarms, calibration
from zerolabel.runs.context import Context
from zerolabel.runs.folder import timed
from zerolabel.runs.provenance import provenance
from zerolabel.vlms.names import is_encoder

N_CHECKED = 500
"""Images on which the exported graph is compared with torch."""


def choose_deployed(
    context: Context, annotated: Annotated, classifier: Classifier, metrics: dict[str, Any]
) -> Classifier:
    """The student, or the best annotating model's zero-shot ensemble; then the student is in ``student/``.

    Puts into the metrics which one it is, and why.
    """
    metrics |= {"deployed": "student", "fallback_reason": None}
    shutil.rmtree(context.folder / "student", ignore_errors=True)  # of the same run, before it was interrupted
    bad = [alarm.text for alarm in (alarms.Alarm(**one) for one in metrics["alarms"]) if alarm.blocks_deployment]
    if not bad:
        return classifier
    name, better = best_model(context, annotated.annotations)
    if name is None:
        metrics["fallback_reason"] = f"{bad[0]} There is no model available that knows all classes to fall back on."
        return classifier
    fallback = as_classifier(context, name, annotated)
    classifier.save(context.folder / "student")
    fallback.save(context.folder / "classifier")
    metrics |= {"deployed": "zero-shot", "fallback_reason": f"{bad[0]}{better}"}
    return fallback


def best_model(context: Context, annotations: Annotations) -> tuple[str | None, str]:
    """The model to fall back on, and a sentence about the choice where there is one.

    Of several it is the one whose votes are right most often by the votes of all, see `label_models.posterior`. There
    is none where no single model on this machine can be deployed that knows all classes.
    """
    names = context.config.annotation.names
    here = [name for name in names if is_encoder(name) and (context.is_loaded(name) or vlms.is_cached(name))]
    models = [name for name in here if is_deployable(context.model(name))]
    if not models or context.config.annotation.encoder is None or context.config.data.open_set:
        return None, ""
    if len(names) == 1:
        return models[0], ""
    votes, owners = label_models.first_votes(annotations), label_models.first_choices(annotations)
    accuracy = label_models.annotator_accuracy(votes, label_models.posterior(annotations)).tolist()
    by_model: dict[str, list[float]] = defaultdict(list)
    for column, right in zip(owners, accuracy, strict=True):
        by_model[annotations.annotators[column].model].append(right)
    best = max(models, key=lambda name: mean(by_model[context.model(name).name]))
    return best, f" Of the models, {best} is right most often, by an estimate without labels."


def as_classifier(context: Context, name: str, annotated: Annotated) -> Classifier:
    """One model's zero-shot ensemble over its own prompts."""
    config, encoder, names = context.config, context.model(name), context.classes
    templates = context.templates(name)
    said, weights = annotated.annotations, weights_of(annotated.annotations, encoder.name)
    if len(config.annotation.names) > 1:
        how = "uniform" if weights is None else weights
        said = annotate(annotated.images, encoder, names, templates, cache=context.cache, weights=how).annotations
    made = provenance(config, annotated) | {
        "annotators": [f"{encoder.name}@{encoder.revision}"],
        "templates": {name: list(templates)},
        "learner": None,
        "hyper_parameters": {},
    }
    least = calibration.threshold_for_share(said.scores.amax(1), KEPT)
    return zero_shot(encoder, names, templates, least, made, weights)


def export_classifier(context: Context, classifier: Classifier, images: ImageSet) -> dict[str, float]:
    """``classifier.onnx``, checked against torch, ``predict.py``, the script that runs it, and ``classes.json``."""
    with timed(context.folder, "export"):
        done = export(classifier, context.folder / "classifier.onnx", images, limit=N_CHECKED)
        write_script(context.folder / "predict.py")
        write_classes(classifier, context.folder / "classes.json")
    return {"max_difference": done.max_difference, "agreement": done.agreement, "n_checked": done.n_checked}
