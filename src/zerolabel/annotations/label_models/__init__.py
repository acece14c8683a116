"""What the annotators' agreement says of them and of their labels, without a true label."""

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
