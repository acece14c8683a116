"""The evaluation stage: predictions of all images and, with true labels, accuracies."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from zerolabel.annotate import Annotated
from zerolabel.deployment.classifier import Classifier
from zerolabel.diagnostics.alarms import Alarm
from zerolabel.diagnostics.recognition import unknown_images
from zerolabel.files import parquet, replacing
from zerolabel.files.json_lines import read_log
from zerolabel.runs import alternatives
from zerolabel.runs.base_model import base_accuracy
from zerolabel.runs.config import HEADS, AnnotationConfig, DataConfig, TrainingConfig
from zerolabel.runs.folder import timed, write_json
from zerolabel.runs.outcome import Outcome
from zerolabel.runs.planning.recognition import unknown_classes
from zerolabel.runs.workspace import Workspace
from zerolabel.training.fitting import Trained


def evaluate_best(
    data: DataConfig,
    annotation: AnnotationConfig,
    training: TrainingConfig,
    workspace: Workspace,
    annotated: Annotated,
    held_out: Annotated | None,
    candidates: Sequence[tuple[Trained, Classifier]],
) -> tuple[Classifier, dict[str, Any]]:
    """The first candidate that no alarm blocks, with the run's metrics about it; the first one if alarms block all.

    Args:
        data: images, classes and truth.
        annotation: the annotating models.
        training: the student.
        workspace: folder and models.
        annotated: the training images.
        held_out: images held out of training, if there are any.
        candidates: the student, and behind it the head that it learned from, if there is one.
    """
    reason, replaced, kept, student = None, None, 0, None
    validation = next((trained.validation for trained, _ in candidates if trained.validation is not None), None)
    if validation is not None and validation.replaces:
        replaced = validation.replacement(training.learner)
        training = training.imitating
    for place, (trained, classifier) in enumerate(candidates):
        outcome, metrics = evaluate(data, annotation, workspace, annotated, held_out, trained, classifier)
        student = student or alternatives.student_answers(training, outcome)
        blocked = [alarm.text for alarm in (Alarm(**one) for one in metrics["alarms"]) if alarm.blocks_deployment]
        kept = place
        if not blocked:
            break
        reason = reason or f"the head on frozen features takes the place of the student on pixels: {blocked[0]}"
    else:
        kept = 0
        if len(candidates) > 1:
            trained, classifier = candidates[0]
            outcome, metrics = evaluate(data, annotation, workspace, annotated, held_out, trained, classifier)
    heads = [alternatives.head_answers(training, trained, held_out) for trained, _ in candidates if trained.is_teacher]
    compared = [*alternatives.simple(annotation.encoder, annotated, held_out, outcome.aside), *heads, student]
    rows = alternatives.rows(outcome, [one for one in compared if one is not None])
    return candidates[kept][1], metrics | {
        "student_replaced": reason if kept else replaced if training.student in HEADS else None,
        "label_validation": None if validation is None else asdict(validation),
        "lifted_alarms": lifted(workspace, metrics["alarms"]),
        "unknown_images": unknown_classes(annotation.names, data.names) or unknown_images(annotated.annotations),
        "compared": rows,
        "estimated_accuracy": {
            rows[0]["name"]: rows[0]["estimated_accuracy"],
            "student": rows[-1 - kept]["estimated_accuracy"],
        },
    }


def lifted(workspace: Workspace, raised: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Alarms during training that are not raised when it ends: the last of each kind, stage by stage."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for entry in read_log(workspace.folder / "log.jsonl"):
        for kind, text in (entry.get("alarms") or {}).items():
            found[entry["stage"], kind] = {"kind": kind, "stage": entry["stage"], "epoch": entry["epoch"], "text": text}
    now = {alarm["kind"] for alarm in raised}
    return [alarm for (_, kind), alarm in found.items() if kind not in now]


def evaluate(
    data: DataConfig,
    annotation: AnnotationConfig,
    workspace: Workspace,
    annotated: Annotated,
    held_out: Annotated | None,
    trained: Trained,
    classifier: Classifier,
) -> tuple[Outcome, dict[str, Any]]:
    """Predictions and the run's metrics; writes ``predictions.parquet`` and, with true labels, ``evaluation.json``."""
    folder = workspace.folder
    with timed(folder, "evaluate"):
        outcome = Outcome.of(data, annotated, held_out, trained, classifier)
        with replacing(folder / "predictions.parquet") as partial:
            parquet.write_frame(outcome.predictions(), partial)
        (folder / "evaluation.json").unlink(missing_ok=True)
        base, gains = base_accuracy(data, annotation, workspace, outcome, (held_out or annotated).images)
        if outcome.evaluation is not None:
            write_json(folder / "evaluation.json", outcome.evaluation | gains)
    finished = folder.finished()
    annotate = finished.get("annotate", {})
    known = ("images_per_second", "vlm_parameters")
    adaptation = {"adaptation": finished["adapt"]} if "adapt" in finished else {}
    return outcome, outcome.metrics() | adaptation | base | {name: annotate[name] for name in known if name in annotate}
