"""The evaluation stage: predictions of all images and, with true labels, accuracies."""

from typing import Any

from zerolabel.annotate import Annotated
from zerolabel.deployment.classifier import Classifier
from zerolabel.runs.base_model import base_accuracy
from zerolabel.runs.config import AnnotationConfig, DataConfig
from zerolabel.runs.folder import timed, write_json
from zerolabel.runs.outcome import Outcome
from zerolabel.runs.workspace import Workspace
from zerolabel.training.fitting import Trained


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
        outcome.predictions().to_parquet(folder / "predictions.parquet", index=False)
        (folder / "evaluation.json").unlink(missing_ok=True)
        base, gains = base_accuracy(data, annotation, workspace, outcome, (held_out or annotated).images)
        if outcome.evaluation is not None:
            write_json(folder / "evaluation.json", outcome.evaluation | gains)
    finished = folder.finished()
    annotate = finished.get("annotate", {})
    known = ("images_per_second", "vlm_parameters")
    adaptation = {"adaptation": finished["adapt"]} if "adapt" in finished else {}
    return outcome.metrics() | adaptation | base | {name: annotate[name] for name in known if name in annotate}
