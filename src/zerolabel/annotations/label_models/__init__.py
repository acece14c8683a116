"""Label models: infer labels and annotator accuracies from the votes, without true labels."""

from zerolabel.annotations.label_models.models import (
    DEFAULT,
    MODELS,
    annotator_accuracy,
    first_choices,
    first_votes,
    posterior,
)

__all__ = [
    "DEFAULT",
    "MODELS",
    "annotator_accuracy",
    "first_choices",
    "first_votes",
    "posterior",
]
