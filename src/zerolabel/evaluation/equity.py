"""Who gains: accuracy of each class before and after, for the classes that were poor and those that were rich.

The analysis of Menghini, Delworth, Bach. Enhancing CLIP with CLIP: Exploring Pseudolabeling for Limited-Label Prompt
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
"""Images that a class must hold for its accuracy to be estimated."""


@dataclass(frozen=True)
class Equity:
    """Classes in the order of their accuracy before, the poorest first.

    Attributes:
        classes: names of the classes whose accuracy is known before and after.
        before: their accuracy, in [0, 1].
        after: the same.
    """

    classes: tuple[str, ...]
    before: tuple[float, ...]
    after: tuple[float, ...]

    @property
    def gains(self) -> tuple[float, ...]:
        """After less before, in the same order."""
        return tuple(b - a for a, b in zip(self.before, self.after, strict=True))

    @property
    def poorer(self) -> float | None:
        """Mean gain of the less accurate half; of an odd number of classes the middle one is in neither half."""
        return _mean(self.gains[: len(self.classes) // 2])

    @property
    def richer(self) -> float | None:
        """Mean gain of the more accurate half."""
        return _mean(self.gains[len(self.classes) - len(self.classes) // 2 :])

    def to_dict(self) -> dict[str, Any]:
        """As data for JSON; gains are None where there are fewer than two classes."""
        rows = zip(self.classes, self.before, self.after, strict=True)
        return {
            "poorer_half_gain": self.poorer,
            "richer_half_gain": self.richer,
            "classes": [{"name": name, "before": before, "after": after} for name, before, after in rows],
        }


def equity(before: Mapping[str, float | None], after: Mapping[str, float | None]) -> Equity:
    """The analysis, of accuracies by class name; a class without images on either side is left out.

    Equal classes keep the order in which they are given.

    Example:
        >>> found = equity({"cat": 0.4, "dog": 0.9}, {"cat": 0.6, "dog": 0.8})
        >>> round(found.poorer, 3), round(found.richer, 3)
        (0.2, -0.1)
    """
    both = [(name, _known(share), _known(after.get(name))) for name, share in before.items()]
    rows = sorted([(n, a, b) for n, a, b in both if a is not None and b is not None], key=lambda row: row[1])
    return Equity(tuple(n for n, _, _ in rows), tuple(a for _, a, _ in rows), tuple(b for _, _, b in rows))


def estimated(before: Float[Tensor, "N C"], after: Float[Tensor, "N C"], classes: Sequence[str]) -> Equity:
    """The same where no label is known: by what both models together hold to be true.

    An image counts for class c with the mean of both probabilities of c; of these images, the accuracy of a model is
    the share that it gives class c. It is as right as the probabilities are: a mistake that both models are confident
    in does not show, so that accuracies come out too high.

    Args:
        before: probabilities of the one model.
        after: of the other.
        classes: C names.
    """
    held = (before + after) / 2
    total = held.sum(0)
    shares = []
    for p in (before, after):
        right = functional.one_hot(p.argmax(1), len(classes)).to(held) * held
        each = (right.sum(0) / total.clamp_min(1e-12)).tolist()
        shares.append({name: share for name, share, n in zip(classes, each, total.tolist(), strict=True) if n >= LEAST})
    return equity(*shares)


def _known(share: float | None) -> float | None:
    return None if share is None or math.isnan(share) else float(share)


def _mean(values: tuple[float, ...]) -> float | None:
    return sum(values) / len(values) if values else None
