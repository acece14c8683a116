"""The encoder as it was before a run adapted it."""

from typing import Any

from zerolabel.annotate import Annotated, annotate
from zerolabel.data.classes import Classes
from zerolabel.data.images import ImageSet
from zerolabel.runs.config import AnnotatingModel, AnnotationConfig, DataConfig
from zerolabel.runs.outcome import Outcome
from zerolabel.runs.workspace import Workspace
from zerolabel.vlms import adapted


def is_adapted(annotation: AnnotationConfig, workspace: Workspace) -> bool:
    """True if the run adapted the encoder."""
    return annotation.encoder == f"adapted:{workspace.adapted}"


def base_model(annotation: AnnotationConfig, workspace: Workspace) -> AnnotatingModel:
    """The unadapted encoder with its prompts."""
    if is_adapted(annotation, workspace):
        data = adapted.record(workspace.adapted)
        return AnnotatingModel(str(data["base"]), tuple(data["base_templates"]))
    name = str(annotation.encoder)
    return AnnotatingModel(name, annotation.templates[name])


def annotate_with_base(
    annotation: AnnotationConfig, classes: Classes, workspace: Workspace, images: ImageSet
) -> Annotated:
    """Annotations by the unadapted encoder."""
    base = base_model(annotation, workspace)
    return annotate(images, workspace.model(base.name), classes, base.templates, cache=workspace.cache)


def base_accuracy(
    data: DataConfig, annotation: AnnotationConfig, workspace: Workspace, outcome: Outcome, images: ImageSet
) -> tuple[dict[str, float], dict[str, Any]]:
    """Accuracy of the unadapted encoder, and the gain per class; empty without true labels or adaptation."""
    if not is_adapted(annotation, workspace) or outcome.evaluation is None or data.open_set:
        return {}, {}
    return outcome.unadapted(annotate_with_base(annotation, data.names, workspace, images).annotations)
