"""Metrics as pure functions of probabilities and true labels.

A true label is a class id, or -1 where the truth is unknown; such images are left out of every mean. Where nothing is
left to average, a mean is not a number.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from zerolabel.errors import InputError


def accuracy(predicted: Int[Tensor, " N"], truth: Int[Tensor, " N"]) -> float:
    """Share of the images with known truth whose predicted class is right; an abstention, -1, is not."""
    known = truth >= 0
    return _mean((predicted == truth)[known])


def per_class_accuracy(predicted: Int[Tensor, " N"], truth: Int[Tensor, " N"], n_classes: int) -> Float[Tensor, " C"]:
    """Accuracy among the images of each true class; not a number where there is none."""
    known = truth >= 0
    right = torch.bincount(truth[known & (predicted == truth)], minlength=n_classes)
    return right.float() / torch.bincount(truth[known], minlength=n_classes)


def mean_per_class_accuracy(predicted: Int[Tensor, " N"], truth: Int[Tensor, " N"], n_classes: int) -> float:
    """Mean accuracy over the classes that occur, each counting the same."""
    return float(per_class_accuracy(predicted, truth, n_classes).nanmean())


def confusion_matrix(predicted: Int[Tensor, " N"], truth: Int[Tensor, " N"], n_classes: int) -> Int[Tensor, "C C"]:
    """Number of images of each true class, a row, and predicted class, a column; abstentions are in none."""
    known = (truth >= 0) & (predicted >= 0)
    cells = truth[known] * n_classes + predicted[known]
    return torch.bincount(cells, minlength=n_classes**2).view(n_classes, n_classes)


def expected_calibration_error(probabilities: Float[Tensor, "N C"], truth: Int[Tensor, " N"], bins: int = 15) -> float:
    """Mean gap between confidence and accuracy over equal bins of confidence, each weighted by its images.

    Guo, Pleiss, Sun, Weinberger. On Calibration of Modern Neural Networks. ICML 2017, equation 3.
    """
    known = truth >= 0
    if not bool(known.any()):
        return float("nan")
    confidence, predicted = probabilities[known].double().max(1)
    place = _bin(confidence, bins)
    gap = (predicted == truth[known]).double() - confidence
    return float(torch.zeros(bins, dtype=torch.double).index_add(0, place, gap).abs().sum() / len(gap))


def candidate_coverage(candidates: Bool[Tensor, "N C"], truth: Int[Tensor, " N"]) -> float:
    """Share of the images with known truth and a candidate set whose set holds the true class."""
    counted = (truth >= 0) & candidates.any(1)
    return _mean(candidates[counted].gather(1, truth[counted, None]))


def vote_accuracy(votes: Int[Tensor, "N A"], truth: Int[Tensor, " N"]) -> Float[Tensor, " A"]:
    """Accuracy of each annotator on the images with known truth on which it did not abstain."""
    counted = (votes >= 0) & (truth >= 0)[:, None]
    return ((votes == truth[:, None]) & counted).sum(0).float() / counted.sum(0)


def evaluate(probabilities: Float[Tensor, "N C"], truth: Int[Tensor, " N"], classes: Sequence[str]) -> dict[str, Any]:
    """All of it at once, as data for JSON: numbers that do not exist are None.

    Args:
        probabilities: of the images.
        truth: true class ids, -1 unknown.
        classes: C names.

    Returns:
        ``n`` images with known truth, ``accuracy``, ``mean_per_class_accuracy``, ``per_class`` by name, ``confusion``
        with a row per true class, ``ece``, and ``classes``.

    Raises:
        InputError: the numbers of images or classes differ.
    """
    if probabilities.shape != (len(truth), len(classes)):
        given = f"{tuple(probabilities.shape)} probabilities, {len(truth)} labels and {len(classes)} classes"
        raise InputError(f"{given} do not belong together; give a row per image and a column per class.")
    unreadable = probabilities.isnan().any(1)
    predicted = probabilities.argmax(1).masked_fill(unreadable, -1)
    per_class = per_class_accuracy(predicted, truth, len(classes)).tolist()
    return {
        "n": int((truth >= 0).sum()),
        "accuracy": _number(accuracy(predicted, truth)),
        "mean_per_class_accuracy": _number(mean_per_class_accuracy(predicted, truth, len(classes))),
        "per_class": {name: _number(share) for name, share in zip(classes, per_class, strict=True)},
        "confusion": confusion_matrix(predicted, truth, len(classes)).tolist(),
        "ece": _number(expected_calibration_error(probabilities[~unreadable], truth[~unreadable])),
        "classes": list(classes),
    }


def _mean(values: Tensor) -> float:
    return float(values.double().mean())


def _bin(confidence: Float[Tensor, " N"], bins: int) -> Int[Tensor, " N"]:
    """The place of each confidence among equal bins of [0, 1]; a row that is not a number goes to the first."""
    return (confidence.nan_to_num(0.0) * bins).long().clamp(0, bins - 1)


def _number(value: float) -> float | None:
    return None if value != value else value
