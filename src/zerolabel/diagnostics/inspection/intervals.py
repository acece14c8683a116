"""Coverage and noise with intervals that say what is not known.

No agreement and no confidence can show a mistake that all prompts share and are confident in. So the interval spans
what follows from several assumptions, and adds the chance of the sample:

- its better end takes the annotators' errors as independent (Dawid-Skene with one accuracy each);
- its worse end takes the mean confidence, or the joint estimate where that is worse, and allows the model to be more
  confident than it is right by `TOO_SURE`;
- both ends are 95% percentiles of a bootstrap over images, in which an image errs with its estimated probability.

The worse end of the candidate sets adds the share w of the worse end of the labels, since annotators that err together
miss together. On the votes of 19 real models this holds wherever the estimate is below `UNTRUSTED`; above it models do
not know the images and their confidence says nothing, so the worse end is 1. Two annotators that give no confidence
agree on a mistake as they do on the truth, and one says nothing of itself: there the interval is everything, and
`Share.known` is false, as it is wherever the worse end is 1. Labels given by a person count as in
`zerolabel.annotations.noise`: each end becomes a quantile of the Beta distribution that they leave.

The accuracy of other predictions of the same images has the same worse end, since no more can be wrong than contradicts
the annotators or errs with them. Its better end is that of mistakes which have nothing to do with the annotators', see
`zerolabel.diagnostics.alarms`, with its deviations.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from scipy.stats import beta
from torch import Tensor

from zerolabel.annotations import Annotations
from zerolabel.annotations.label_models import first_choices, first_votes
from zerolabel.annotations.label_models.em import shares as vote_shares
from zerolabel.annotations.noise import (
    IMAGINED,
    Beliefs,
    annotated,
    beliefs,
    best_class,
    corrected,
    label_noise,
    missed_by_rule,
    wrong_by_score,
)
from zerolabel.diagnostics import alarms
from zerolabel.evaluation import metrics

TOO_SURE = 0.05
UNTRUSTED = 0.2
"""Estimated share of wrong labels from which on no upper end is named."""
STATED = 0.05
"""Scores that differ from the shares of the votes by less, on average, state no confidence."""
_RESAMPLES = 200
_TAIL = 0.025


@dataclass(frozen=True)
class Share:
    """A share of the images, in [0, 1].

    Attributes:
        estimate: without truth.
        low: lower end of the interval.
        high: upper end of the interval.
        true: measured; None where no truth was given.
        known: True if the votes and scores support an interval; else only human labels do.
    """

    estimate: float
    low: float
    high: float
    true: float | None = None
    known: bool = True

    @property
    def complement(self) -> "Share":
        """The share of the other images."""
        true = None if self.true is None else 1 - self.true
        return Share(1 - self.estimate, 1 - self.high, 1 - self.low, true, self.known)


@dataclass(frozen=True)
class _Readings:
    """The annotations under several assumptions.

    Attributes:
        believed: the joint and the independent reading.
        readings: probability of each class of M images: joint, independent, as stated.
        blind: True if there is neither agreement that says something nor confidence.
    """

    believed: Beliefs
    readings: tuple[Float[Tensor, "M C"], ...]
    blind: bool


def _read(annotations: Annotations) -> _Readings:
    """The readings of annotations."""
    believed = beliefs(annotations)
    votes = vote_shares(first_votes(annotations)[believed.rows], len(annotations.classes))
    scores = annotations.scores[believed.rows].float()
    scores = torch.where(scores.any(1, keepdim=True), scores / scores.sum(1, keepdim=True).clamp_min(1e-12), votes)
    stated = float((scores.amax(1) - votes.amax(1)).abs().mean()) if len(scores) else 0.0
    blind = len(first_choices(annotations)) < 3 and stated < STATED
    return _Readings(believed, (believed.joint, believed.independent, scores), blind)


def accuracy(predicted: Int[Tensor, " N"], annotations: Annotations) -> Share:
    """Estimated share of the annotated images without a human label whose predicted class is the true one.

    Args:
        predicted: class id of each image, -1 where there is no answer, by a student or by an annotator.
        annotations: of the same images.
    """
    read = _read(annotations)
    rows, best = read.believed.rows, best_class(annotations, read.believed.rows)
    unsure = label_noise(annotations) >= UNTRUSTED
    free = ~annotations.human[rows] & (predicted[rows] >= 0)
    chosen, labeled = predicted[rows].clamp_min(0)[:, None], torch.zeros(int(free.sum()), dtype=torch.bool)
    wrong = [(1 - p.gather(1, chosen)[:, 0])[free] for p in read.readings]
    found = _share(wrong, labeled, labeled[:0], read.blind, unsure=unsure).complement
    if not found.known or not len(labeled) or bool((chosen[:, 0] == best)[free].all()):
        return found
    apart = alarms.estimate(predicted.clamp_min(0), annotations)
    high = min(max(found.high, apart.student + alarms.DEVIATIONS * apart.deviation), 1.0)
    return replace(found, high=high)


def noise(annotations: Annotations, truth: Int[Tensor, " N"] | None = None) -> tuple[Share, Share]:
    """Estimated noise of the candidate sets and of the labels.

    Args:
        annotations: of N images.
        truth: class ids, -1 unknown; only `Share.true` is made of it.

    Returns:
        The share of the images with candidates whose set misses the true class, and the share of the annotated images
        whose best-scored class is not the true one. A human label is right in both.
    """
    read = _read(annotations)
    believed, rows, readings, blind = read.believed, read.believed.rows, read.readings, read.blind
    human, candidates, best = annotations.human[rows], annotations.candidates[rows], best_class(annotations, rows)
    counted = candidates.any(1)
    missed = [(p * ~candidates).sum(1)[counted] for p in readings]
    wrong = [1 - p.gather(1, best[:, None])[:, 0] for p in readings]
    seen = wrong_by_score(annotations)
    unsure = corrected(wrong[0], human, seen) >= UNTRUSTED
    labels = _share(wrong, human, seen, blind, unsure=unsure)
    sets = _share(
        missed,
        human[counted],
        missed_by_rule(annotations),
        blind,
        unsure=unsure,
        more=believed.dependence * labels.high,
    )
    shares = (sets, labels)
    if truth is None:
        return shares
    everything = annotated(annotations).nonzero()[:, 0]
    coverage = metrics.candidate_coverage(annotations.candidates, truth)
    right = metrics.accuracy(best_class(annotations, everything), truth[everything])
    return replace(shares[0], true=_one_minus(coverage)), replace(shares[1], true=_one_minus(right))


def _share(
    readings: Sequence[Float[Tensor, " M"]],
    human: Bool[Tensor, " M"],
    seen: Bool[Tensor, " H"],
    blind: bool,
    *,
    unsure: bool,
    more: float = 0.0,
) -> Share:
    """From the errors of each image under the joint reading and the others to a share and its interval.

    Args:
        readings: probabilities of an error; the joint one first.
        human: images with a human label, which are right.
        seen: whether the annotators erred on the images with a human label.
        blind: whether there is neither agreement that says something nor confidence.
        unsure: whether so many labels seem wrong that the upper end is open.
        more: what shared errors add to the upper end.
    """
    estimate, machine = corrected(readings[0], human, seen), float((~human).double().mean()) if len(human) else 0.0
    if not machine:
        return Share(estimate, 0.0, 0.0 if len(human) else 1.0)
    errors = torch.stack(list(readings))[:, ~human].clamp(0, 1)
    means = errors.double().mean(1)
    low = _bootstrap(errors[int(means.argmin())], _TAIL)
    high = min(_bootstrap(errors[int(means.argmax())], 1 - _TAIL) + TOO_SURE + more, 1.0)
    known = len(seen) > 0 or not (blind or unsure)
    low, high = 0.0 if blind else low, 1.0 if blind or unsure else high
    if len(seen):
        low, high = _with_labels(low, seen, _TAIL), _with_labels(high, seen, 1 - _TAIL)
    return Share(estimate, min(low * machine, estimate), max(high * machine, estimate), known=known)


def _bootstrap(errors: Float[Tensor, " M"], tail: float) -> float:
    """A quantile, over samples of the images, of the share that errs."""
    generator = torch.Generator().manual_seed(0)
    index = torch.randint(len(errors), (_RESAMPLES, len(errors)), generator=generator)
    shares = torch.bernoulli(errors[index], generator=generator).double().mean(1)
    return float(shares.quantile(tail))


def _with_labels(end: float, seen: Bool[Tensor, " H"], tail: float) -> float:
    """An end of the interval, once labels were given: the end as `IMAGINED` images, then the labels."""
    wrong = float(seen.sum())
    return float(beta.ppf(tail, IMAGINED * end + wrong + 0.5, IMAGINED * (1 - end) + len(seen) - wrong + 0.5))


def _one_minus(value: float) -> float | None:
    return None if value != value else 1 - value
