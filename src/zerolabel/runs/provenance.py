"""Provenance of a classifier: annotators, learner and command, for its files and model card."""

from typing import Any

from zerolabel.annotate import Annotated
from zerolabel.runs.config import Config


def provenance(config: Config, annotated: Annotated) -> dict[str, Any]:
    """Provenance of a classifier, for its files."""
    return {
        "annotators": sorted({f"{one.model}@{one.revision}" for one in annotated.annotations.annotators}),
        "vision_encoders": [f"{one.name}@{one.revision}" for one in annotated.vision],
        "templates": {model.name: list(model.templates) for model in config.annotation.models},
        "rule": config.annotation.rule,
        "learner": config.training.learner,
        "hyper_parameters": config.training.hyper_parameters,
        "settings": config.training.settings,
        "n_images": len(annotated.annotations),
        "created": config.created,
        "command": config.command,
    }
