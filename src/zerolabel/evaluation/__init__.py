"""What may see true labels: accuracies, calibration errors and gains per class."""

from zerolabel.evaluation.equity import Equity, equity, estimated
from zerolabel.evaluation.metrics import (
    accuracy,
    candidate_coverage,
    confusion_matrix,
    evaluate,
    expected_calibration_error,
    mean_per_class_accuracy,
    per_class_accuracy,
    vote_accuracy,
)

__all__ = [
    "Equity",
    "accuracy",
    "candidate_coverage",
    "confusion_matrix",
    "equity",
    "estimated",
    "evaluate",
    "expected_calibration_error",
    "mean_per_class_accuracy",
    "per_class_accuracy",
    "vote_accuracy",
]
