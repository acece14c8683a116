"""Label-free alarms about a training, as pure functions of predictions and annotations.

With r the probabilities that the annotations give each class of an image, corrected by human labels where there are
some (`zerolabel.annotations.noise.corrected_beliefs`), c the annotators' best class and s the student's, the annotators
believe in a true answer, and in any other class, by

    g  =  mean_i sum_k r_k^2,        w  =  mean_i ( 1 - sum_k r_k^2 ) / (C - 1)

if they are right about their doubts. A student whose mistakes have nothing to do with theirs then has the accuracy

    a  =  ( mean_i r_s - w ) / ( g - w )

and one that makes the same mistakes as they has less, so that a is too much rather than too little. A student whose a
is below ``mean_i r_c``, what the annotators believe of themselves, by more than chance is called worse. What this
cannot see: a student that errs as its annotator does, and, on images it was trained on, one that memorized
them. Images held out of training, which need no labels, show the latter.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from zerolabel.annotations import Annotations
from zerolabel.annotations.noise import beliefs, corrected_beliefs

COLLAPSED = 0.25
"""A class collapses where it is predicted less than this share of the times that the annotations expect."""
CERTAIN, KEPT = 0.9, 0.5
"""A class does not collapse where it is predicted on more than this share of the images that annotators are so sure of:
then the others were their mistakes."""
EXPECTED = 8.0
"""Of fewer expected images of a class, their absence says nothing."""
DEVIATIONS = 2.0
"""An accuracy is too low where it is so many standard deviations below the annotators'."""
SURER = 1e-3
"""Of annotators whose belief in the truth is hardly larger than in any other class, nothing follows."""
RISE = 0.05
"""Two networks that disagree on this much larger a share of the images than before drift apart."""


@dataclass(frozen=True)
class Estimate:
    """Estimated accuracy of a student whose errors are independent of the annotators', see above.

    Attributes:
        student: a, not kept inside [0, 1].
        annotators: what they believe of their own best classes.
        deviation: standard deviation of a, by the images.
    """

    student: float
    annotators: float
    deviation: float

    @property
    def below(self) -> bool:
        """True if the student counts as worse than its annotators."""
        return self.student + DEVIATIONS * self.deviation < self.annotators


@dataclass(frozen=True)
class Alarm:
    """A label-free sign that training went wrong.

    Attributes:
        kind: "collapse", "worse" or "disagreement".
        text: one sentence for the user.
    """

    kind: str
    text: str

    @property
    def blocks_deployment(self) -> bool:
        """True if the zero-shot ensemble is deployed instead of the student."""
        return self.kind in ("collapse", "worse")


def estimate(predicted: Int[Tensor, " N"], annotations: Annotations) -> Estimate:
    """Estimated accuracy of predictions, see above; None without annotations of differing confidence."""
    rows, r = corrected_beliefs(annotations)
    r = r.double()
    squares = (r**2).sum(1)
    best = annotations.scores[rows].argmax(1, keepdim=True)
    in_student, in_annotators = r.gather(1, predicted[rows][:, None]), r.gather(1, best).mean()
    in_truth, in_other = squares.mean(), (1 - squares).mean() / max(r.shape[1] - 1, 1)
    scale = float(in_truth - in_other)
    if len(r) < 2 or scale < SURER:
        return Estimate(1.0, 0.0, 0.0)
    a = float(in_student.mean() - in_other) / scale
    return Estimate(a, float(in_annotators), float(in_student.std()) / len(r) ** 0.5 / scale)


def expected_counts(annotations: Annotations) -> Float[Tensor, " C"]:
    """Expected number of annotated images of each class."""
    believed = beliefs(annotations)
    n_annotated = float((annotations.candidates.any(1) | annotations.scores.any(1)).sum())
    return believed.joint.double().mean(0).nan_to_num(0.0) * n_annotated


def class_shares(predicted: Int[Tensor, " N"], annotations: Annotations) -> Float[Tensor, " C"]:
    """Number of predictions of each class as a multiple of the expected one; 1 where that is below `EXPECTED`."""
    rows = annotations.candidates.any(1) | annotations.scores.any(1)
    expected = expected_counts(annotations)
    counts = torch.bincount(predicted[rows], minlength=len(expected)).double()
    return torch.where(expected >= EXPECTED, counts / expected.clamp_min(1e-9), 1.0)


def kept_where_certain(predicted: Int[Tensor, " N"], annotations: Annotations) -> Float[Tensor, " C"]:
    """Share of each class's images, of those that the annotators are certain of, on which it is predicted.

    Not a number where they are certain of none. A student that gives up only what they doubt corrects them.
    """
    believed = beliefs(annotations)
    certain = believed.joint >= CERTAIN
    hit = torch.nn.functional.one_hot(predicted[believed.rows], certain.shape[1]).bool() & certain
    return hit.sum(0).double() / certain.sum(0)


def collapse(predicted: Int[Tensor, " N"], annotations: Annotations) -> Alarm | None:
    """Classes that are predicted far less often than the annotations expect."""
    shares, kept = class_shares(predicted, annotations), kept_where_certain(predicted, annotations)
    gone = [
        name
        for name, share, recall in zip(annotations.classes, shares.tolist(), kept.tolist(), strict=True)
        if share < COLLAPSED and not recall > KEPT
    ]
    if not gone:
        return None
    names = ", ".join(f"'{name}'" for name in gone[:3]) + (f" and {len(gone) - 3} more" if len(gone) > 3 else "")
    return Alarm("collapse", f"the student rarely predicts {names}, which the annotators see often.")


def worse(predicted: Int[Tensor, " N"], annotations: Annotations) -> Alarm | None:
    """A student that contradicts its annotators where they are confident."""
    found = estimate(predicted, annotations)
    if not found.below:
        return None
    return Alarm(
        "worse",
        "the student is probably worse than its annotators: an estimate without labels gives it an accuracy of "
        f"{100 * max(found.student, 0):.0f}% and them {100 * found.annotators:.0f}%.",
    )


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
    return Alarm(
        "disagreement",
        f"the two networks drift apart: they answer {100 * now:.0f}% of the images differently, up from "
        f"{100 * least:.0f}%.",
    )


def check(predicted: Int[Tensor, " N"], annotations: Annotations) -> tuple[Alarm, ...]:
    """The alarms that a student's predictions set off, against the annotations of the same images."""
    found = (collapse(predicted, annotations), worse(predicted, annotations))
    return tuple(alarm for alarm in found if alarm is not None)


__all__ = ["Alarm", "Estimate", "check", "class_shares", "collapse", "disagreement", "estimate", "worse"]
