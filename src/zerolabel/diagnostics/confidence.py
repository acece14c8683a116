"""Confidences of different models on one scale, without labels.

A contrastive model states a softmax of cosines, SigLIP sigmoids, a chat model a number or nothing at all: their means
say nothing of how often each is right, and the mean over models is led by the boldest. So each model's probabilities
get a temperature (Guo et al., ICML 2017) at which their mean confidence is the accuracy that the label model estimates
for its votes, from all annotators together:

    p'  =  softmax(log p / T_m),      mean_i max_k p'_ik  =  estimated accuracy of model m .

Ours: the temperature is set by an estimate instead of by labels. It is as good as the label model, which cannot see
what all annotators have wrong, nor which of two that contradict each other is right: two models keep their scores.
"""

from collections.abc import Sequence
from statistics import mean

from zerolabel.annotations import Annotations, label_models
from zerolabel.annotations.merging import merge_all
from zerolabel.diagnostics.calibration import calibrate

FEWEST = 3
"""Models whose agreement says which of them is right."""
LEAST = 1e-6
"""Probability that counts as none; answers without a confidence are 0 and 1."""


def comparable_scores(parts: Sequence[Annotations], names: Sequence[str]) -> list[Annotations]:
    """Annotations by different models, with scores whose mean confidence is the estimated accuracy of each.

    Args:
        parts: of one model each, about the same classes and images.
        names: of the models, for messages.

    Returns:
        The same votes and candidates with other scores; images on which a model abstained keep a row of zeros.
    """
    if len(parts) < FEWEST:
        return list(parts)
    together = merge_all(parts, names)
    votes, owners = label_models.first_votes(together), label_models.first_choices(together)
    right = label_models.annotator_accuracy(votes, label_models.posterior(together)).tolist()
    accuracy = {together.annotators[column]: share for column, share in zip(owners, right, strict=True)}
    found = []
    for part in parts:
        own = [accuracy[annotator] for annotator in part.annotators if annotator.choice == 1]
        heard = part.scores.any(1)
        if not own or not bool(heard.any()):
            found.append(part)
            continue
        logits = (part.scores[heard] + LEAST).log()
        scores = part.scores.clone()
        scores[heard] = (logits / calibrate(logits, mean(own))).softmax(1).to(scores)
        found.append(part.with_scores(scores))
    return found


__all__ = ["comparable_scores"]
