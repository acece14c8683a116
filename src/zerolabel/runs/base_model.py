"""The encoding model as it was before a run adapted it."""

from pathlib import Path
from typing import Any

from zerolabel.annotate import Annotated, annotate
from zerolabel.data.images import ImageSet
from zerolabel.runs.context import Context
from zerolabel.runs.outcome import Outcome
from zerolabel.vlms import adapted


def adapted_folder(context: Context) -> Path:
    """Where the run keeps the parameters it adapted."""
    return context.folder / "adapted"


def is_adapted(context: Context) -> bool:
    """True if the encoding model is one that this run adapted."""
    return context.config.annotation.encoder == f"adapted:{adapted_folder(context)}"


def base_name(context: Context) -> str:
    """Name of the encoding model before adaptation."""
    if is_adapted(context):
        return str(adapted.record(adapted_folder(context))["base"])
    return str(context.config.annotation.encoder)


def annotate_with_base(context: Context, images: ImageSet) -> Annotated:
    """Annotations of readable images by the encoding model as it was before adaptation."""
    if is_adapted(context):
        data = adapted.record(adapted_folder(context))
        name, templates = data["base"], tuple(data["base_templates"])
    else:
        name = str(context.config.annotation.encoder)
        templates = context.templates(name)
    return annotate(images, context.model(name), context.classes, templates, cache=context.cache)


def base_accuracy(context: Context, outcome: Outcome, images: ImageSet) -> tuple[dict[str, float], dict[str, Any]]:
    """Accuracies of the model before adaptation, and the gains per class; empty without truth or adaptation."""
    if not is_adapted(context) or outcome.judged is None or context.config.data.open_set:
        return {}, {}
    return outcome.unadapted(annotate_with_base(context, images).annotations)
