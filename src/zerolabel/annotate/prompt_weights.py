"""Weights of prompts per class, estimated without labels.

CARPRT (arXiv 2607.14125, ICLR 2026): with s_jic the cosine of image j and class c under prompt i, and y_ji its best
class,

    w'_ic  =  mean of s_jic over the images with y_ji = c,      w_.c  =  softmax_i(scale w'_ic),

and the score of an image is softmax_c(scale sum_i w_ic s_jic). The softmax over prompts is as steep as the model's own
over classes. A prompt under which no image is of a class has no weight there, unless that is so of all prompts.

Alone this lets in prompts that mean nothing, since a cosine does not say what is right. So prompts are filtered first
(ours). A prompt that tells images apart has a large mutual information of image and class,
H(mean_j p_j) - mean_j H(p_j) with p_j its probabilities; those below `TELLING` of the best prompt's are left out. Of
the others, those are left out whose accuracy, by Dawid-Skene's expectation maximization on the votes with one accuracy
per prompt, is below `KEPT` of the best: their class names do not mean what the others' do.
"""

from collections.abc import Iterable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from zerolabel.annotations import Annotations
from zerolabel.annotations.label_models import annotator_accuracy
from zerolabel.annotations.label_models.dawid_skene import dawid_skene

TELLING = 0.7
"""Share of the best prompt's mutual information below which a prompt is left out."""
KEPT = 0.6
"""Share of the best prompt's estimated accuracy below which a prompt is left out."""
MOST_IMAGES = 20_000
"""Looked at, evenly spaced."""


def estimated_weights(
    features: Iterable[Float[Tensor, "_ D"]], texts: Float[Tensor, "A C D"], scale: float
) -> Float[Tensor, "A C"]:
    """Weights of the prompts; each column sums to 1.

    Args:
        features: of the images, of length 1, in parts, so that they need not be in memory together.
        texts: text features of length 1, per prompt and class.
        scale: the factor of the cosine in the model's softmax.
    """
    n_prompts, n_classes, _ = texts.shape
    sums, counts, mean = (torch.zeros(n_prompts, n_classes) for _ in range(3))
    doubt, votes, n = torch.zeros(n_prompts), [], 0
    for part in features:
        chosen = []
        for a, text in enumerate(texts):
            cosines = part @ text.T
            best, p = cosines.max(1), (scale * cosines).softmax(1)
            mean[a] += p.sum(0)
            doubt[a] += entropy(p).sum()
            chosen.append(best.indices)
            sums[a].index_add_(0, best.indices, best.values)
            counts[a].index_add_(0, best.indices, torch.ones_like(best.values))
        votes.append(torch.stack(chosen, 1))
        n += len(part)
    if not n:
        return torch.full((n_prompts, n_classes), 1 / n_prompts)
    kept = sound_prompts(torch.cat(votes), entropy(mean / n) - doubt / n, n_classes)
    by_class = torch.where((counts > 0) & kept[:, None], sums / counts.clamp_min(1), -torch.inf)
    unseen = ~by_class.isfinite().any(0)
    by_class[:, unseen] = torch.where(kept, 0.0, -torch.inf)[:, None].expand(n_prompts, int(unseen.sum()))
    return (scale * by_class).softmax(0)


def sound_prompts(votes: Int[Tensor, "N A"], information: Float[Tensor, " A"], n_classes: int) -> Bool[Tensor, " A"]:
    """Which prompts tell images apart, and by their estimated accuracy mean what the others mean.

    Args:
        votes: the best class of each image under each prompt.
        information: mutual information of image and class under each prompt.
        n_classes: C.
    """
    kept = information >= TELLING * information.max()
    if int(kept.sum()) > 2:
        own = votes[:, kept]
        accuracy = annotator_accuracy(own, dawid_skene(own, n_classes, one_coin=True).posterior)
        kept[kept.clone()] = accuracy >= KEPT * accuracy.max()
    return kept


def entropy(p: Float[Tensor, "M C"]) -> Float[Tensor, " M"]:
    """Of each row."""
    entropies: Tensor = torch.special.entr(p).sum(1)
    return entropies


def weighted_texts(texts: Float[Tensor, "A C D"], weights: Float[Tensor, "A C"]) -> Float[Tensor, "1 C D"]:
    """One text feature per class whose cosine is the weighted mean of the prompts' cosines; not of length 1."""
    return (weights[:, :, None] * texts).sum(0, keepdim=True)


def weights_of(annotations: Annotations, model: str) -> Float[Tensor, "A C"] | None:
    """The weights that a model's prompts had when it annotated; none where its scores are the mean of its prompts.

    Args:
        annotations: by that model, and by others.
        model: its name.
    """
    own = [annotator.weights for annotator in annotations.annotators if annotator.model == model]
    given = [weights for weights in own if weights is not None]
    return torch.tensor(given) if own and len(given) == len(own) else None


__all__ = ["estimated_weights", "sound_prompts", "weighted_texts", "weights_of"]
