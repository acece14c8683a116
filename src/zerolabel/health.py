"""Whether a training goes wrong, as far as it shows without labels: pure functions of predictions and annotations.

With r the probabilities that the annotations give each class of an image (`zerolabel.label_models.beliefs`), c the
annotators' best class and s the student's, the student's **distance** is the mean of ``r_c - r_s``: what it loses, by
the annotators' own beliefs, where it contradicts them. A student that never errs has a distance too, since annotators
do; if they are right about their doubts, its mean is

    allowed  =  mean_i ( r_c - sum_k r_k^2 )

with the variance that drawing each truth from r gives. A student that is further from its annotator than that, by more
than chance and by half as much again, contradicts it where it is sure: it is called worse. What this cannot see: a
student that errs as its annotator does, and, on images it was trained on, one that learned these by heart. Images held
out of training, which need no labels, show the latter.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from zerolabel.annotations import Annotations
from zerolabel.label_models import beliefs

COLLAPSED = 0.25
"""A class collapses where it is predicted less than this share of the times that the annotations expect."""
EXPECTED = 8.0
"""Of fewer expected images of a class, their absence says nothing."""
EXCESS, DEVIATIONS = 1.5, 2.0
"""A distance is too large above this multiple of the allowed one, and so many standard deviations above it."""
RISE = 0.05
"""Two networks that disagree on this much larger a share of the images than before drift apart."""


@dataclass(frozen=True)
class Distance:
    """How far a student is from its annotator, see above.

    Attributes:
        student: its distance.
        allowed: the mean distance of a student that never errs.
        deviation: standard deviation of that.
    """

    student: float
    allowed: float
    deviation: float

    @property
    def too_far(self) -> bool:
        """Whether the student is called worse than its annotator."""
        return self.student > max(EXCESS * self.allowed, self.allowed + DEVIATIONS * self.deviation)


@dataclass(frozen=True)
class Alarm:
    """Something that is wrong.

    Attributes:
        kind: "collapse", "worse" or "disagreement".
        text: what, as a sentence.
    """

    kind: str
    text: str

    @property
    def condemns(self) -> bool:
        """Whether the student must not be deployed where there is something better."""
        return self.kind in ("collapse", "worse")


def distance(predicted: Int[Tensor, " N"], annotations: Annotations) -> Distance:
    """How far predictions are from the annotators', see above; all zero where nobody annotated."""
    believed = beliefs(annotations)
    r = believed.joint.double()
    if not len(r):
        return Distance(0.0, 0.0, 0.0)
    best = annotations.scores[believed.rows].argmax(1, keepdim=True)
    lost = r.gather(1, best) - r
    allowed = (r * lost).sum(1)
    variance = (r * lost**2).sum(1) - allowed**2
    student = lost.gather(1, predicted[believed.rows][:, None])
    return Distance(float(student.mean()), float(allowed.mean()), float(variance.clamp_min(0).sum().sqrt()) / len(r))


def expected_counts(annotations: Annotations) -> Float[Tensor, " C"]:
    """How many of the annotated images each class has, by the annotations."""
    believed = beliefs(annotations)
    n_annotated = float((annotations.candidates.any(1) | annotations.scores.any(1)).sum())
    return believed.joint.double().mean(0).nan_to_num(0.0) * n_annotated


def class_shares(predicted: Int[Tensor, " N"], annotations: Annotations) -> Float[Tensor, " C"]:
    """How often each class is predicted, as a multiple of its expected count; 1 where that is below `EXPECTED`."""
    rows = annotations.candidates.any(1) | annotations.scores.any(1)
    expected = expected_counts(annotations)
    counts = torch.bincount(predicted[rows], minlength=len(expected)).double()
    return torch.where(expected >= EXPECTED, counts / expected.clamp_min(1e-9), 1.0)


def collapse(predicted: Int[Tensor, " N"], annotations: Annotations) -> Alarm | None:
    """Classes that are predicted far less often than the annotations expect."""
    shares = class_shares(predicted, annotations)
    gone = [name for name, share in zip(annotations.classes, shares.tolist(), strict=True) if share < COLLAPSED]
    if not gone:
        return None
    names = ", ".join(f"'{name}'" for name in gone[:3]) + (f" and {len(gone) - 3} more" if len(gone) > 3 else "")
    return Alarm("collapse", f"the student hardly ever answers {names}, which the annotators see often.")


def worse(predicted: Int[Tensor, " N"], annotations: Annotations) -> Alarm | None:
    """A student that contradicts its annotators where they are sure."""
    found = distance(predicted, annotations)
    if not found.too_far:
        return None
    text = f"the student contradicts its annotators where they are sure: it is {100 * found.student:.1f} points away"
    return Alarm("worse", f"{text} by their own beliefs, and a perfect one would be {100 * found.allowed:.1f}.")


def disagreement(history: Sequence[float], n_images: int) -> Alarm | None:
    """Two networks that drift apart.

    Args:
        history: share of the images on which they disagreed at each look, the last one now.
        n_images: that were looked at.
    """
    if len(history) < 2:
        return None
    least, now = min(history[:-1]), history[-1]
    chance = 2 * (now * (1 - now) / max(n_images, 1)) ** 0.5
    if now - least <= RISE + chance:
        return None
    return Alarm("disagreement", f"the two networks drift apart: they disagree on {now:.1%}, after {least:.1%}.")


def check(predicted: Int[Tensor, " N"], annotations: Annotations) -> tuple[Alarm, ...]:
    """The alarms that a student's predictions set off, against the annotations of the same images."""
    found = (collapse(predicted, annotations), worse(predicted, annotations))
    return tuple(alarm for alarm in found if alarm is not None)


__all__ = ["Alarm", "Distance", "check", "class_shares", "collapse", "disagreement", "distance", "worse"]
