"""Scores that training learns from: combined with human labels, spread over neighbors, or cleaned by a teacher."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from zerolabel.adaptation.few_shot.correction import corrected
from zerolabel.adaptation.few_shot.linear_probe import linear_probe
from zerolabel.adaptation.few_shot.stacking import stacked
from zerolabel.annotations import Annotations
from zerolabel.annotations.candidates import parse_rule, rule_or_union
from zerolabel.blocks import targets
from zerolabel.blocks.label_propagation import propagate_jointly
from zerolabel.training.fitting import Trained

SPREAD = "spread over neighbors"
"""Suffix of a candidate rule for propagated scores."""
STACKED = "stacked with human labels"
"""Suffix of a candidate rule for scores combined with a probe on human labels."""
AVERAGED = "averaged with human labels"
"""Suffix of a candidate rule for predictions averaged with those of a probe on human labels."""


def stacked_with_labels(annotations: Annotations, features: Float[Tensor, "N D"]) -> Annotations:
    """The annotations with scores in which human labels take part on every image.

    See `few_shot.stacking`; where many classes have no label, `few_shot.correction`. The best class of these scores
    joins the candidates, since a rule may read votes alone.
    """
    scores = stacked(annotations.scores, annotations.labels, features)
    if scores is annotations.scores:
        scores = corrected(annotations.scores, features.float(), annotations.labels)
    if scores is annotations.scores:
        return annotations
    made = rescored(annotations, scores, STACKED)
    best = targets.one_hot(scores.argmax(1), len(annotations.classes)).bool()
    return made.with_candidates(made.candidates | best, made.rule)


def labels_alone(annotations: Annotations, features: Float[Tensor, "N D"]) -> Float[Tensor, "N C"]:
    """Probabilities of all images by a linear probe on the human labels."""
    shots = features[annotations.human].float()
    blank = shots.new_zeros(len(annotations.classes), shots.shape[1])
    probe = linear_probe(shots, annotations.labels[annotations.human], blank, 1.0)
    p: Tensor = probe(features.float()).softmax(1)
    return p


def averaged(annotations: Annotations, p: Float[Tensor, "N C"], features: Float[Tensor, "N D"]) -> Annotations:
    """The annotations with scores that are the mean of probabilities and of those by the human labels alone."""
    return rescored(annotations, (p + labels_alone(annotations, features)) / 2, AVERAGED)


def spread(annotations: Annotations, spaces: Sequence[Float[Tensor, "N _"]]) -> Annotations:
    """The annotations with scores spread over neighbors in feature space, and the candidates that their rule makes."""
    human = targets.one_hot(annotations.labels, len(annotations.classes))
    given = torch.where(annotations.human[:, None], human, annotations.scores)
    scores = torch.where(annotations.human[:, None], human, propagate_jointly(given, spaces))
    return rescored(annotations, scores, SPREAD)


def cleaned(annotations: Annotations, teacher: Trained) -> Annotations:
    """The annotations with the teacher's mean prediction as scores, and the candidates that their rule makes."""
    return rescored(
        annotations, torch.stack(teacher.log_probabilities).mean(0).softmax(1), "cleaned on frozen features"
    )


def rescored(annotations: Annotations, scores: Float[Tensor, "N C"], how: str) -> Annotations:
    """The annotations with other scores: the candidate rule is applied again, to them and to the votes.

    Where every annotator abstained, the best class of the new scores is the candidate. Candidates that no
    rule made stay as they are.

    Args:
        annotations: with the rule as text.
        scores: that take the place of theirs; a row of zeros is an image of which nothing is known.
        how: what was done to the scores, for the text of the rule.
    """
    changed = annotations.with_scores(scores)
    rule = annotations.rule.removesuffix(f", {SPREAD}").removesuffix(f", {STACKED}")
    made = parse_rule(rule)(changed) if rule_or_union(rule) == rule else annotations.candidates
    best = targets.one_hot(scores.argmax(1), len(annotations.classes)).bool() & scores.any(1, keepdim=True)
    silent = (annotations.n_votes == 0) & ~made.any(1)
    return changed.with_candidates(torch.where(silent[:, None], best, made), f"{annotations.rule}, {how}")


__all__ = [
    "AVERAGED",
    "SPREAD",
    "STACKED",
    "averaged",
    "cleaned",
    "labels_alone",
    "rescored",
    "spread",
    "stacked_with_labels",
]
