"""How much each prompt counts, per class, without labels.

CARPRT (arXiv 2607.14125, ICLR 2026): with s_jic the cosine of image j and class c under prompt i, and y_ji its best
class,

    w'_ic  =  mean of s_jic over the images with y_ji = c,      w_.c  =  softmax_i(scale w'_ic),

and the score of an image is softmax_c(scale sum_i w_ic s_jic). The softmax over prompts is as steep as the model's own
over classes. A prompt under which no image is of a class has no weight there, unless that is so of all prompts.

Alone this lets in prompts that mean nothing, since a cosine does not say what is right. So prompts are filtered first:
one accuracy per prompt by Dawid-Skene's expectation maximization on the votes, and those below `KEPT` of the best have
no weight (ours).
"""

from collections.abc import Iterable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from zerolabel.annotations.label_models import annotator_accuracy
from zerolabel.annotations.label_models.dawid_skene import dawid_skene

KEPT = 0.6
"""Share of the best prompt's estimated accuracy below which a prompt is left out."""
MOST_IMAGES = 20_000
"""Looked at, evenly spaced."""
CHOICES = ("estimated", "uniform")
"""What ``--prompt-weights`` takes; "uniform" is the mean of the prompts' probabilities, as in Co-Reg's paper."""


def estimated_weights(
    features: Iterable[Float[Tensor, "B D"]], texts: Float[Tensor, "A C D"], scale: float
) -> Float[Tensor, "A C"]:
    """Weights of the prompts; each column sums to 1.

    Args:
        features: of the images, of length 1, in parts, so that they need not be in memory together.
        texts: text features of length 1, per prompt and class.
        scale: the factor of the cosine in the model's softmax.
    """
    n_prompts, n_classes, _ = texts.shape
    sums, counts, votes = torch.zeros(n_prompts, n_classes), torch.zeros(n_prompts, n_classes), []
    for part in features:
        chosen = []
        for a, text in enumerate(texts):
            best = (part @ text.T).max(1)
            chosen.append(best.indices)
            sums[a].index_add_(0, best.indices, best.values)
            counts[a].index_add_(0, best.indices, torch.ones_like(best.values))
        votes.append(torch.stack(chosen, 1))
    kept = sound_prompts(torch.cat(votes), n_classes) if votes else torch.ones(n_prompts, dtype=torch.bool)
    mean = torch.where(counts > 0, sums / counts.clamp_min(1), -torch.inf)
    mean = torch.where(kept[:, None], mean, -torch.inf)
    unseen = ~mean.isfinite().any(0)
    mean[:, unseen] = torch.where(kept, 0.0, -torch.inf)[:, None].expand(n_prompts, int(unseen.sum()))
    return (scale * mean).softmax(0)


def sound_prompts(votes: Int[Tensor, "N A"], n_classes: int) -> Tensor:
    """Which prompts are, by their estimated accuracy, not far below the best."""
    if votes.shape[1] < 3:
        return torch.ones(votes.shape[1], dtype=torch.bool)
    accuracy = annotator_accuracy(votes, dawid_skene(votes, n_classes, one_coin=True).posterior)
    return accuracy >= KEPT * accuracy.max()


def weighted_texts(texts: Float[Tensor, "A C D"], weights: Float[Tensor, "A C"]) -> Float[Tensor, "1 C D"]:
    """One text feature per class whose cosine is the weighted mean of the prompts' cosines; not of length 1."""
    return (weights[:, :, None] * texts).sum(0, keepdim=True)


__all__ = ["CHOICES", "estimated_weights", "sound_prompts", "weighted_texts"]
