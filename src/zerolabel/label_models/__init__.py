"""What the annotators' agreement says of them and of their labels, without a true label."""

from zerolabel.label_models.models import MODELS, annotator_accuracy, first_choices, first_votes, posterior
from zerolabel.label_models.noise import Beliefs, beliefs, candidate_noise, label_noise, noise_rate

__all__ = [
    "MODELS",
    "Beliefs",
    "annotator_accuracy",
    "beliefs",
    "candidate_noise",
    "first_choices",
    "first_votes",
    "label_noise",
    "noise_rate",
    "posterior",
]
