"""Noise rates estimated from the annotations without labels.

Annotators that are prompts of one model err together, so that their agreement says too much of them: Dawid-Skene, which
takes their errors as independent, is the optimist. The model's own confidence is the other witness. Both are joined,
image by image, into the probability r of each class. With c the best-scored class, p the scores, s the shares of the
votes and q the posterior of Dawid-Skene with one accuracy per annotator,

    r  =  g ((1 - w) q + w s)  +  (1 - g) p' ,      g = min(1, p_c / s_c) ,      w = 1 - 1 / (1 + (A - 1) rho) .

g is the confidence of those who voted for c, as far as the dissenters give c next to nothing. Where they are wrong,
p' (p without c, summing to 1) says where the truth lies. rho is the mean correlation, over images, of two annotators'
probabilities of being right under q, which is zero if they err independently; w is the share of their number that it
makes void (the design effect of Kish, 1965). Where the scores are shares of votes, g is 1 and only
agreement speaks; where one annotator votes, only its confidence does.

A model that is more confident than it is right, and whose prompts share its mistakes, is worse than these estimates
say. Labels given by a person correct them: each weighs as much as one of `IMAGINED` images that are as the estimate
says.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from zerolabel.annotations.annotations import Annotations
from zerolabel.annotations.candidates import parse_rule
from zerolabel.annotations.label_models.dawid_skene import dawid_skene
from zerolabel.annotations.label_models.dependence import dependence
from zerolabel.annotations.label_models.em import shares
from zerolabel.annotations.label_models.models import first_votes
from zerolabel.errors import InputError

IMAGINED = 50
"""Weight of an estimate in images, against human labels."""
DOUBTED = 10
"""Weight of an annotator's estimated error in images where a student is compared with its annotators; human labels must
soon outweigh an estimate that comes from the annotators themselves."""
MOST_IMAGES = 5_000
"""Maximum number of evenly spaced images; a share estimated on them is within 1.4 points with 95% confidence."""


@dataclass(frozen=True)
class Beliefs:
    """Posterior of M of the annotated images.

    Attributes:
        rows: places of the images.
        joint: r, both estimates together.
        independent: q, as if the annotators erred independently.
        dependence: w, in [0, 1]: the share of the annotators' number that their shared errors make void.
    """

    rows: Int[Tensor, " M"]
    joint: Float[Tensor, "M C"]
    independent: Float[Tensor, "M C"]
    dependence: float


def beliefs(annotations: Annotations, most: int = MOST_IMAGES) -> Beliefs:
    """The probability of each class of each image; a human label is certain.

    Args:
        annotations: votes, scores and human labels are read.
        most: images that are looked at, evenly spaced among those that have a vote, a score or a human label.
    """
    rows = annotated(annotations).nonzero()[:, 0]
    rows = rows[torch.linspace(0, max(len(rows) - 1, 0), min(most, len(rows))).round().long()]
    votes, labels, n_classes = first_votes(annotations)[rows], annotations.labels[rows], len(annotations.classes)
    p = annotations.scores[rows].float()
    p = p / p.sum(1, keepdim=True).clamp_min(1e-12)
    s = shares(votes, n_classes)
    voted = s.any(1, keepdim=True)
    independent = s if votes.shape[1] < 2 else dawid_skene(votes, n_classes, labels, one_coin=True).posterior
    w = dependence(votes, independent)
    joint = _joint(torch.where(p.any(1, keepdim=True), p, s), s, (1 - w) * independent + w * s)
    sure = torch.nn.functional.one_hot(labels.clamp_min(0), n_classes).float()
    human = (labels >= 0)[:, None]
    return Beliefs(
        rows, torch.where(human, sure, joint), torch.where(human, sure, torch.where(voted, independent, p)), w
    )


def corrected_beliefs(annotations: Annotations) -> tuple[Int[Tensor, " M"], Float[Tensor, "M C"]]:
    """Rows and r of `beliefs`, flattened until the best class errs as often as human labels show.

    Where annotators are worse than they believe, a share of each row without a human label is spread evenly over the
    classes. Without human labels, or where the annotators are better than they believe, r is as it was.
    """
    believed = beliefs(annotations)
    r, free = believed.joint, ~annotations.human[believed.rows]
    best = best_class(annotations, believed.rows)
    wrong = 1 - r.gather(1, best[:, None])[free, 0].double()
    seen = wrong_by_score(annotations)
    if not len(wrong) or not len(seen) or r.shape[1] < 2:
        return believed.rows, r
    before = float(wrong.mean())
    excess = (DOUBTED * before + float(seen.sum())) / (DOUBTED + len(seen)) - before
    share = min(max(excess / max(1 - before - 1 / r.shape[1], 1e-9), 0.0), 1.0)
    return believed.rows, torch.where(free[:, None], (1 - share) * r + share / r.shape[1], r)


def noise_rate(given: float | None, estimate: Callable[[Annotations], float], annotations: Annotations) -> float:
    """The noise rate that a user gave, else the estimated one.

    Raises:
        InputError: the given one is not in [0, 1).
    """
    if given is None:
        return estimate(annotations)
    if not 0 <= given < 1:
        raise InputError(f"noise_rate is a share of the images, from 0 to below 1, not {given}.")
    return given


def candidate_noise(annotations: Annotations) -> float:
    """Estimated share of the annotated images whose candidate set misses the true class, in [0, 1).

    A human label is a set of one that cannot miss.
    """
    believed = beliefs(annotations)
    candidates, human = annotations.candidates[believed.rows], annotations.human[believed.rows]
    counted = candidates.any(1)
    missed = (believed.joint * ~candidates).sum(1)[counted]
    return corrected(missed, human[counted], missed_by_rule(annotations))


def label_noise(annotations: Annotations) -> float:
    """Estimated share of the annotated images whose best-scored class is not the true one, in [0, 1).

    A human label counts as the class of its image.
    """
    believed = beliefs(annotations)
    best = best_class(annotations, believed.rows)
    wrong = 1 - believed.joint.gather(1, best[:, None])[:, 0]
    return corrected(wrong, annotations.human[believed.rows], wrong_by_score(annotations))


def corrected(errors: Float[Tensor, " M"], human: Bool[Tensor, " M"], seen: Bool[Tensor, " H"]) -> float:
    """Mean of estimated errors, in [0, 1), corrected by those that human labels show.

    Args:
        errors: estimated probability of an error of each image.
        human: which of them carry a human label, and so no error.
        seen: whether the annotators erred on the images with a human label.
    """
    if not bool((~human).any()):
        return 0.0
    estimate = float(errors[~human].double().mean())
    estimate = (IMAGINED * estimate + float(seen.sum())) / (IMAGINED + len(seen))
    return min(max(estimate * float((~human).double().mean()), 0.0), 1 - 1e-6)


def wrong_by_score(annotations: Annotations) -> Bool[Tensor, " H"]:
    """True where the class with the highest score differs from the human label, for images with both."""
    counted = annotations.human & annotations.scores.any(1)
    return annotations.scores[counted].argmax(1) != annotations.labels[counted]


def missed_by_rule(annotations: Annotations) -> Bool[Tensor, " H"]:
    """True where the candidate set of the rule misses the human label; empty for an unknown rule."""
    none = torch.zeros(0, dtype=torch.bool)
    if not bool(annotations.human.any()):
        return none
    try:
        made = parse_rule(annotations.rule)(annotations)[annotations.human]
    except InputError:
        return none
    held = made.gather(1, annotations.labels[annotations.human, None])[:, 0]
    return ~held[made.any(1)]


def annotated(annotations: Annotations) -> Bool[Tensor, " N"]:
    """Which images have a vote, a score or a human label."""
    return (annotations.votes >= 0).any(1) | annotations.scores.any(1) | annotations.human


def best_class(annotations: Annotations, rows: Int[Tensor, " M"]) -> Int[Tensor, " M"]:
    """The class that each image counts as: the human label, else the best-scored, else the most voted."""
    scores, labels = annotations.scores[rows], annotations.labels[rows]
    votes = shares(first_votes(annotations)[rows], len(annotations.classes))
    return torch.where(labels >= 0, labels, torch.where(scores.any(1, keepdim=True), scores, votes).argmax(1))


def _joint(p: Float[Tensor, "M C"], s: Float[Tensor, "M C"], agreed: Float[Tensor, "M C"]) -> Float[Tensor, "M C"]:
    """r; the scores where none of the voters chose the best-scored class."""
    best = p.argmax(1, keepdim=True)
    top, support = p.gather(1, best), s.gather(1, best)
    elsewhere = p.scatter(1, best, 0.0)
    elsewhere = elsewhere / elsewhere.sum(1, keepdim=True).clamp_min(1e-12)
    g = torch.where(elsewhere.any(1, keepdim=True), (top / support.clamp_min(1e-12)).clamp_max(1.0), 1.0)
    return torch.where(support > 0, g * agreed + (1 - g) * elsewhere, p)
