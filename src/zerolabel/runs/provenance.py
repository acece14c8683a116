"""How a classifier came to be: what its files and its model card say of annotators, learner and command."""

from typing import Any

from zerolabel.annotate import Annotated
from zerolabel.runs.config import Config


def provenance(config: Config, annotated: Annotated) -> dict[str, Any]:
    """How a classifier came to be, for its files."""
    return {
        "annotators": sorted({f"{one.model}@{one.revision}" for one in annotated.annotations.annotators}),
        "templates": {model.name: list(model.templates) for model in config.annotation.models},
        "rule": config.annotation.rule,
        "learner": config.training.learner,
        "hyper_parameters": config.training.hyper_parameters,
        "settings": config.training.settings,
        "n_images": len(annotated.annotations),
        "created": config.created,
        "command": config.command,
    }
