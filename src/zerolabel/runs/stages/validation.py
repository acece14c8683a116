"""Validation of a learner by human labels that it did not see.

Human labels and annotators' scores are combined before training, by weights that are cross-validated on the labels, so
that the combined scores are at least as good as the labels alone. A learner of candidate sets may lose some of
that. So it is trained once more, without half of the labels, and stands beside the scores that the other half gives. If
it is right less often on the images whose labels it did not see, a head that imitates the combined scores is trained in
its place, on all labels. What is kept is then averaged with a linear probe on the labels, and a head imitates the mean,
unless averaging with the probe of the half that was seen makes the other half less likely.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from zerolabel.annotations import Annotations
from zerolabel.annotations.candidates import parse_rule, rule_or_union
from zerolabel.runs.presets import MOST_VALIDATED
from zerolabel.runs.stages.scores import labels_alone, stacked_with_labels
from zerolabel.training.validation import Validation

LEAST = 10
"""Hidden labels below which nothing is validated."""
LEAST_LIKELY = 1e-6
"""The least probability of a label, so that no single one decides."""

Learn = Callable[[Annotations, Int[Tensor, " R"]], Float[Tensor, "R C"]]
"""Trains on annotations of some images of the pool, and predicts these."""


def validate(annotations: Annotations, features: Float[Tensor, "N D"], learn: Learn, seed: int) -> Validation | None:
    """Train without half of the labels, and compare on their images.

    Args:
        annotations: as annotators and humans gave them.
        features: of length 1.
        learn: the training.
        seed: chooses the labels that are hidden, and the images of a large pool.

    Returns:
        None where too few labels were given.
    """
    hidden = half(annotations.labels, seed)
    if len(hidden) < LEAST:
        return None
    rows = pool(annotations.labels, seed)
    places = torch.searchsorted(rows, hidden)
    seen = without(annotations, hidden).select(rows)
    said = stacked_with_labels(seen, features[rows])
    known = annotations.labels[hidden]
    learner, scores, probe = (p[places] for p in (learn(said, rows), said.scores, labels_alone(seen, features[rows])))
    right = [p.argmax(1) == known for p in (learner, scores, probe)]
    differing = int((right[0] != right[1]).sum())
    found = Validation(len(hidden), int(right[0].sum()), int(right[1].sum()), differing, int(right[2].sum()), 0.0, 0.0)
    gain, error = averaging_gain(scores if found.loses else learner, probe, known)
    return replace(found, gain=gain, gain_error=error)


def averaging_gain(
    kept: Float[Tensor, "H C"], probe: Float[Tensor, "H C"], known: Int[Tensor, " H"]
) -> tuple[float, float]:
    """Mean of what averaging adds to the logarithm of the probability of a label, and its standard error."""
    first, mean = (p.gather(1, known[:, None]).clamp_min(LEAST_LIKELY).log() for p in (kept, (kept + probe) / 2))
    added = mean - first
    return float(added.mean()), float(added.std()) / len(added) ** 0.5


def half(labels: Int[Tensor, " N"], seed: int) -> Int[Tensor, " H"]:
    """Half of the labeled images of each class, in rising order; of an odd number the smaller half."""
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    of_classes = (order[labels[order] == c] for c in labels[labels >= 0].unique().tolist())
    found = [own[: len(own) // 2] for own in of_classes]
    return torch.cat(found).sort().values if found else torch.zeros(0, dtype=torch.long)


def pool(labels: Int[Tensor, " N"], seed: int) -> Int[Tensor, " R"]:
    """All labeled images and others up to `MOST_VALIDATED`, in rising order."""
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    given, others = order[labels[order] >= 0], order[labels[order] < 0]
    return torch.cat([given, others[: max(MOST_VALIDATED - len(given), 0)]]).sort().values


def without(annotations: Annotations, rows: Int[Tensor, " H"]) -> Annotations:
    """The annotations without the human labels of some images, whose candidates are those of the annotators."""
    labels = annotations.labels.index_fill(0, rows, -1)
    bare = replace(annotations, labels=labels)
    candidates = annotations.candidates.clone()
    candidates[rows] = parse_rule(rule_or_union(annotations.rule))(bare)[rows]
    return bare.with_candidates(candidates, annotations.rule)


__all__ = ["Validation", "validate"]
