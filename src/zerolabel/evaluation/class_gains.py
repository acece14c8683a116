"""Accuracy gain per class, averaged over the half of the classes with low and the half with high initial accuracy.

Follows Menghini, Delworth, Bach. Enhancing CLIP with CLIP: Exploring Pseudolabeling for Limited-Label Prompt
Tuning. NeurIPS 2023.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

LEAST = 1.0
"""Images that a class must hold for its accuracy to be estimated_class_gains."""
"""Minimum expected number of images of a class for its accuracy to be estimated."""


@dataclass(frozen=True)
class ClassGains:
    """Accuracy per class before and after, sorted by the accuracy before.

    Attributes:
        classes: names of the classes with a known accuracy before and after.
        before: accuracy before, in [0, 1].
        after: accuracy after, in [0, 1].
    """

    classes: tuple[str, ...]
    before: tuple[float, ...]
    after: tuple[float, ...]

    @property
    def gains(self) -> tuple[float, ...]:
        """Accuracy after minus before, in the same order."""
        return tuple(b - a for a, b in zip(self.before, self.after, strict=True))

    @property
    def lower_half(self) -> float | None:
        """Mean gain of the less accurate half of the classes; the middle one of an odd number is in neither half."""
        return _mean(self.gains[: len(self.classes) // 2])

    @property
    def upper_half(self) -> float | None:
        """Mean gain of the more accurate half of the classes."""
        return _mean(self.gains[len(self.classes) - len(self.classes) // 2 :])

    def to_dict(self) -> dict[str, Any]:
        """JSON-serializable dictionary; gains are None for fewer than two classes."""
        rows = zip(self.classes, self.before, self.after, strict=True)
        return {
            "lower_half_gain": self.lower_half,
            "upper_half_gain": self.upper_half,
            "classes": [{"name": name, "before": before, "after": after} for name, before, after in rows],
        }


def class_gains(before: Mapping[str, float | None], after: Mapping[str, float | None]) -> ClassGains:
    """Class gains from accuracies by class name; a class without images on either side is left out.

    The order of classes with equal accuracy is kept.

    Example:
        >>> found = class_gains({"cat": 0.4, "dog": 0.9}, {"cat": 0.6, "dog": 0.8})
        >>> round(found.lower_half, 3), round(found.upper_half, 3)
        (0.2, -0.1)
    """
    both = [(name, _known(share), _known(after.get(name))) for name, share in before.items()]
    rows = sorted([(n, a, b) for n, a, b in both if a is not None and b is not None], key=lambda row: row[1])
    return ClassGains(tuple(n for n, _, _ in rows), tuple(a for _, a, _ in rows), tuple(b for _, _, b in rows))


def estimated_class_gains(
    before: Float[Tensor, "N C"], after: Float[Tensor, "N C"], classes: Sequence[str]
) -> ClassGains:
    """Class gains estimated without labels, from the probabilities of both models.

    The mean probability of class c weights each image; the estimated accuracy of a model for c is the weighted share
    of images that it predicts as c. Errors that both models make with confidence are not visible, so the estimated
    accuracies are too high.

    Args:
        before: probabilities of the first model.
        after: probabilities of the second model.
        classes: C names.
    """
    held = (before + after) / 2
    total = held.sum(0)
    shares = []
    for p in (before, after):
        right = functional.one_hot(p.argmax(1), len(classes)).to(held) * held
        each = (right.sum(0) / total.clamp_min(1e-12)).tolist()
        shares.append({name: share for name, share, n in zip(classes, each, total.tolist(), strict=True) if n >= LEAST})
    return class_gains(*shares)


def _known(share: float | None) -> float | None:
    return None if share is None or math.isnan(share) else float(share)


def _mean(values: tuple[float, ...]) -> float | None:
    return sum(values) / len(values) if values else None
