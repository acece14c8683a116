"""The evaluation stage: predictions of all images and, with true labels, accuracies."""

from collections.abc import Sequence
from typing import Any

from zerolabel.annotate import Annotated
from zerolabel.deployment.classifier import Classifier
from zerolabel.diagnostics.alarms import Alarm
from zerolabel.files import parquet, replacing
from zerolabel.runs.base_model import base_accuracy
from zerolabel.runs.config import AnnotationConfig, DataConfig
from zerolabel.runs.folder import timed, write_json
from zerolabel.runs.outcome import Outcome
from zerolabel.runs.workspace import Workspace
from zerolabel.training.fitting import Trained


def evaluate_best(
    data: DataConfig,
    annotation: AnnotationConfig,
    workspace: Workspace,
    annotated: Annotated,
    held_out: Annotated | None,
    candidates: Sequence[tuple[Trained, Classifier]],
) -> tuple[Classifier, dict[str, Any]]:
    """The first candidate that no alarm blocks, with the run's metrics about it; the first one if alarms block all.

    Args:
        data: images, classes and truth.
        annotation: the annotating models.
        workspace: folder and models.
        annotated: the training images.
        held_out: images held out of training, if there are any.
        candidates: the student, and behind it the head that it learned from, if there is one.
    """
    reason = None
    for trained, classifier in candidates:
        metrics = evaluate(data, annotation, workspace, annotated, held_out, trained, classifier)
        blocked = [alarm.text for alarm in (Alarm(**one) for one in metrics["alarms"]) if alarm.blocks_deployment]
        if not blocked:
            return classifier, metrics | {"student_replaced": reason}
        reason = reason or f"the head on frozen features takes the place of the student on pixels: {blocked[0]}"
    trained, student = candidates[0]
    if len(candidates) > 1:
        metrics = evaluate(data, annotation, workspace, annotated, held_out, trained, student)
    return student, metrics | {"student_replaced": None}


def evaluate(
    data: DataConfig,
    annotation: AnnotationConfig,
    workspace: Workspace,
    annotated: Annotated,
    held_out: Annotated | None,
    trained: Trained,
    classifier: Classifier,
) -> dict[str, Any]:
    """Compute the run's metrics; writes ``predictions.parquet`` and, with true labels, ``evaluation.json``."""
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
    return outcome.metrics() | adaptation | base | {name: annotate[name] for name in known if name in annotate}
