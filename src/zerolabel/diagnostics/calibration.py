"""Temperature and threshold without a single true label.

A temperature is usually fitted on labeled images (Guo, Pleiss, Sun, Weinberger. On Calibration of Modern Neural
Networks. ICML 2017). Here there are none, so the temperature only makes the mean confidence equal to an accuracy that
is estimated otherwise: two networks that were trained apart agree, in expectation, as often as one of them is right,
as far as their ensemble is calibrated (Jiang, Nagarajan, Baek, Kolter. Assessing Generalization of SGD via
Disagreement. ICLR 2022). `zerolabel.diagnostics.agreement.agreement` gives that number.

What this cannot do: networks that learned from the same wrong votes, or from each other, are wrong together; they
agree more often than they are right, and the confidence stays too high by that much. Only a look at some labels tells.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from zerolabel.errors import InputError
from zerolabel.files import rows

LOWEST, HIGHEST = 0.05, 20.0
_STEPS = 60


def mean_confidence(logits: Float[Tensor, "N C"], temperature: float) -> float:
    """Mean over images of the largest probability."""
    return float((logits.double() / temperature).softmax(1).amax(1).mean())


def calibrate(logits: Float[Tensor, "N C"], target_accuracy: float) -> float:
    """The temperature at which the mean confidence equals an accuracy.

    The mean confidence falls steadily from 1 to 1/C as the temperature rises, so bisection finds the one answer.

    Args:
        logits: of images that the network did not train on, or else of views it did not see; of very many images,
            some at regular distances are read.
        target_accuracy: the estimate, in [0, 1], of the share of these images that are classified rightly. N images
            without an error show no more than (N + 1) / (N + 2), Laplace's rule; a higher estimate counts as that.

    Returns:
        A temperature in [0.05, 20]; an end of that range where the target lies beyond it, and 1 where every row is
        constant, since no temperature changes those.

    Raises:
        InputError: there are no logits, or the target is no share.
    """
    logits = rows.spaced(logits)
    if not len(logits) or not bool(torch.isfinite(logits).all()):
        raise InputError("a temperature needs the finite logits of at least one image.")
    if not 0 <= target_accuracy <= 1:
        raise InputError(f"the accuracy to calibrate to is a share between 0 and 1, not {target_accuracy}.")
    if bool((logits == logits[:, :1]).all()):
        return 1.0
    target_accuracy = min(target_accuracy, (len(logits) + 1) / (len(logits) + 2))
    low, high = math.log(LOWEST), math.log(HIGHEST)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        too_sure = mean_confidence(logits, math.exp(middle)) > target_accuracy
        low, high = (middle, high) if too_sure else (low, middle)
    return math.exp((low + high) / 2)


def threshold_for_share(confidence: Float[Tensor, " N"], share: float) -> float:
    """The abstention threshold that keeps the most confident images.

    Args:
        confidence: largest probability of each image, after the temperature.
        share: of the images that must stay at or above the threshold, in (0, 1].

    Returns:
        The highest observed confidence that at least this share of the images reaches.

    Raises:
        InputError: there are no confidences, or the share is none.

    Example:
        >>> round(threshold_for_share(torch.tensor([0.9, 0.5, 0.7, 0.6]), 0.5), 3)
        0.7
    """
    if not len(confidence):
        raise InputError("a threshold needs the confidence of at least one image.")
    if not 0 < share <= 1:
        raise InputError(f"the share of images to keep must be above 0 and at most 1, not {share}.")
    kept = math.ceil(share * len(confidence) - 1e-9)
    return float(confidence.sort(descending=True).values[kept - 1])


__all__ = ["calibrate", "mean_confidence", "threshold_for_share"]
