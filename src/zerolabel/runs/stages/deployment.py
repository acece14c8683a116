"""What a run deploys: its student, or an annotating model where alarms call the student worse."""

from collections import defaultdict
from statistics import mean
from typing import TYPE_CHECKING, Any

from zerolabel import vlms
from zerolabel.annotate import Annotated, annotate
from zerolabel.annotations import Annotations, label_models
from zerolabel.data.classes import Classes
from zerolabel.deployment.assembly import KEPT, is_deployable, zero_shot
from zerolabel.deployment.classifier import Classifier
from zerolabel.diagnostics import alarms, calibration
from zerolabel.runs.config import Config
from zerolabel.runs.planning import is_encoder

if TYPE_CHECKING:
    from zerolabel.runs.pipeline import Job


def deploy(job: "Job", annotated: Annotated, classifier: Classifier, metrics: dict[str, Any]) -> Classifier:
    """The student, or the best annotating model's zero-shot ensemble; then the student is in ``student/``.

    Puts into the metrics which one it is, and why.
    """
    metrics |= {"deployed": "student", "fallback_reason": None}
    bad = [alarm.text for alarm in (alarms.Alarm(**one) for one in metrics["alarms"]) if alarm.condemns]
    if not bad:
        return classifier
    name, better = best_model(job, annotated.annotations)
    if name is None:
        metrics["fallback_reason"] = f"{bad[0]} There is no model at hand that knows all classes to fall back on."
        return classifier
    fallback = as_classifier(job, name, annotated)
    classifier.save(job.folder / "student")
    fallback.save(job.folder / "classifier")
    metrics |= {"deployed": "zero-shot", "fallback_reason": f"{bad[0]}{better}"}
    return fallback


def best_model(job: "Job", annotations: Annotations) -> tuple[str | None, str]:
    """The model to fall back on, and a sentence about the choice where there is one.

    Of several it is the one whose votes are right most often by the votes of all, see `label_models.posterior`. There
    is none where no single model on this machine can be deployed that knows all classes.
    """
    config = job.config
    here = [name for name in config.vlm if is_encoder(name) and (name in job.models or vlms.at_hand(name))]
    models = [name for name in here if is_deployable(job.model(name))]
    if not models or config.encoder is None or config.open_set:
        return None, ""
    if len(config.vlm) == 1:
        return models[0], ""
    votes, owners = label_models.first_votes(annotations), label_models.first_choices(annotations)
    accuracy = label_models.annotator_accuracy(votes, label_models.posterior(annotations)).tolist()
    by_model: dict[str, list[float]] = defaultdict(list)
    for column, right in zip(owners, accuracy, strict=True):
        by_model[annotations.annotators[column].model].append(right)
    best = max(models, key=lambda name: mean(by_model[job.model(name).name]))
    return best, f" Of the models, {best} is right most often, by an estimate without labels."


def as_classifier(job: "Job", name: str, annotated: Annotated) -> Classifier:
    """One model's zero-shot ensemble over its own prompts."""
    config, encoder, names = job.config, job.model(name), Classes(job.config.classes, job.config.aliases)
    templates = dict(zip(config.vlm, config.templates, strict=True))[name]
    said = annotated.annotations
    if len(config.vlm) > 1:
        said = annotate(annotated.images, encoder, names, templates, cache=job.cache).annotations
    made = provenance(config, annotated) | {
        "annotators": [f"{encoder.name}@{encoder.revision}"],
        "templates": {name: list(templates)},
        "learner": None,
        "hyper_parameters": {},
    }
    return zero_shot(encoder, names, templates, calibration.threshold_for_share(said.scores.amax(1), KEPT), made)


def provenance(config: Config, annotated: Annotated) -> dict[str, Any]:
    """How a classifier came to be, for its files."""
    return {
        "annotators": sorted({f"{one.model}@{one.revision}" for one in annotated.annotations.annotators}),
        "templates": dict(zip(config.vlm, map(list, config.templates), strict=True)),
        "rule": config.rule,
        "learner": config.learner,
        "hyper_parameters": config.hyper_parameters,
        "settings": config.settings,
        "n_images": len(annotated.annotations),
        "created": config.created,
        "command": config.command,
    }


__all__ = ["deploy", "provenance"]
