"""The evaluation stage: predictions of all images and, where truth was given, accuracies."""

from typing import Any

from zerolabel.annotate import Annotated
from zerolabel.deployment.classifier import Classifier
from zerolabel.runs.base_model import base_accuracy
from zerolabel.runs.context import Context
from zerolabel.runs.folder import timed, write_json
from zerolabel.runs.outcome import Outcome
from zerolabel.training.fitting import Trained


def evaluate(
    context: Context, annotated: Annotated, held_out: Annotated | None, trained: Trained, classifier: Classifier
) -> dict[str, Any]:
    """The run's metrics; writes ``predictions.parquet`` and, with truth, ``evaluation.json``."""
    with timed(context.folder, "evaluate"):
        outcome = Outcome.of(context.config.data, annotated, held_out, trained, classifier)
        outcome.predictions().to_parquet(context.folder / "predictions.parquet", index=False)
        (context.folder / "evaluation.json").unlink(missing_ok=True)
        base, gains = base_accuracy(context, outcome, (held_out or annotated).images)
        if outcome.judged is not None:
            write_json(context.folder / "evaluation.json", outcome.judged | gains)
    finished = context.folder.finished()
    annotation = finished.get("annotate", {})
    known = ("images_per_second", "vlm_parameters")
    adaptation = {"adaptation": finished["adapt"]} if "adapt" in finished else {}
    return outcome.metrics() | adaptation | base | {name: annotation[name] for name in known if name in annotation}
