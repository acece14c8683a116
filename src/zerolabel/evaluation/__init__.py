"""Metrics that read true labels: accuracy, calibration error and gains per class."""

from zerolabel.evaluation.class_gains import ClassGains, class_gains, estimated_class_gains
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
    "ClassGains",
    "accuracy",
    "candidate_coverage",
    "class_gains",
    "confusion_matrix",
    "estimated_class_gains",
    "evaluate",
    "expected_calibration_error",
    "mean_per_class_accuracy",
    "per_class_accuracy",
    "vote_accuracy",
]
