"""Images of classes that no name was given for: scores, a threshold without labels, metrics, and pools to try it on.

Of every score, larger means more likely one of the named classes. Protocol: Liang, Sheng, Wang, He, Tan. Realistic
Unsupervised CLIP Fine-tuning with Universal Entropy Optimization. ICML 2024.
"""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from zerolabel.annotations import Annotations
from zerolabel.blocks import targets
from zerolabel.errors import InputError

UNKNOWN = -1
"""Answer where an image is called one of no class."""
NAME = "unknown"
"""The class of such images, where a classifier has one for them."""

SCENARIOS = ("closed", "partial", "open", "open-partial")


def mcm(cosines: Float[Tensor, "N C"], temperature: float = 1.0) -> Float[Tensor, " N"]:
    """Largest softmax of the cosines (Ming et al., Delving into Out-of-Distribution Detection, NeurIPS 2022).

    Args:
        cosines: of images and class names, without the model's scale.
        temperature: 1 is the paper's, and UEO's.
    """
    return (cosines / temperature).softmax(1).amax(1)


def mcm_of_scores(p: Float[Tensor, "N C"], scale: float) -> Float[Tensor, " N"]:
    """MCM score at temperature 1 from probabilities: exact for one prompt, approximate for the mean of several.

    Args:
        p: softmax of the scaled cosines.
        scale: of the cosines.
    """
    return targets.sharpen(p, scale).amax(1)


def max_logit(logits: Float[Tensor, "N C"]) -> Float[Tensor, " N"]:
    """Largest logit (Hendrycks et al., Scaling Out-of-Distribution Detection, ICML 2022)."""
    return logits.amax(1)


def energy(logits: Float[Tensor, "N C"], temperature: float = 1.0) -> Float[Tensor, " N"]:
    """Negative free energy, ``T log sum exp(z / T)`` (Liu et al., Energy-based Out-of-distribution Detection, 2020)."""
    return temperature * (logits / temperature).logsumexp(1)


def auroc(scores: Float[Tensor, " N"], known: Bool[Tensor, " N"]) -> float:
    """Chance that an image of a known class scores above one of an unknown class; not a number where one is missing."""
    if bool(known.all()) or not bool(known.any()):
        return float("nan")
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(known.cpu().numpy(), scores.double().cpu().numpy()))


def threshold(scores: Float[Tensor, " N"]) -> float:
    """Threshold that splits scores into two groups without labels (Otsu, 1979); images below it are "unknown".

    The cut of the largest variance between the groups, over all cuts between neighboring scores. It was taken before
    a mixture of two normals because it asks for no shape: scores of unknown images are skewed, and a mixture then may
    spend both parts on one group. Like any such rule it always finds two groups, so on a closed pool it rejects some.

    Raises:
        InputError: there is no score, or one is not finite.
    """
    if not len(scores) or not bool(scores.isfinite().all()):
        raise InputError("a threshold needs finite scores of at least one image.")
    ordered = np.sort(scores.double().cpu().numpy())
    if ordered[0] == ordered[-1]:
        return float(ordered[0])
    below = np.arange(1, len(ordered))
    total = np.cumsum(ordered)
    gap = total[:-1] / below - (total[-1] - total[:-1]) / (len(ordered) - below)
    cut = int(np.argmax(np.where(ordered[1:] > ordered[:-1], below * (len(ordered) - below) * gap**2, -1.0)))
    middle = float((ordered[cut] + ordered[cut + 1]) / 2)
    return middle if ordered[cut] < middle <= ordered[cut + 1] else float(ordered[cut + 1])


def answers(probabilities: Float[Tensor, "N C"], scores: Float[Tensor, " N"], least: float) -> Int[Tensor, " N"]:
    """Best class of each image, `UNKNOWN` where its score is below ``least``."""
    return probabilities.argmax(1).masked_fill(scores < least, UNKNOWN)


def hos(predicted: Int[Tensor, " N"], truth: Int[Tensor, " N"]) -> float:
    """Harmonic mean of the accuracy on known classes and the share of unknown images that are called so.

    Args:
        predicted: class ids, `UNKNOWN` where rejected.
        truth: class ids, `UNKNOWN` for an image of no named class. A rejected image of a known class is a mistake.

    Returns:
        0 where either is 0; not a number where no image is known or none unknown.
    """
    known = truth >= 0
    if bool(known.all()) or not bool(known.any()):
        return float("nan")
    right = predicted == truth
    a, b = float(right[known].double().mean()), float(right[~known].double().mean())
    return 2 * a * b / (a + b) if a + b else 0.0


def with_unknown(annotations: Annotations, strange: Bool[Tensor, " N"]) -> Annotations:
    """Annotations with one class more, `NAME`, which holds the out-of-distribution images; human labels stay.

    Raises:
        InputError: a class has that name already.
    """
    if NAME in annotations.classes:
        raise InputError(f"with --open-set the name '{NAME}' is for out-of-distribution images; rename that class.")
    strange = (strange & ~annotations.human)[:, None]
    c = len(annotations.classes)
    own = torch.arange(c + 1) == c
    scores, candidates = (functional.pad(one, (0, 1)) for one in (annotations.scores, annotations.candidates))
    return replace(
        annotations,
        classes=(*annotations.classes, NAME),
        scores=torch.where(strange, own.to(scores), scores),
        candidates=torch.where(strange, own, candidates),
        votes=torch.where(strange & (annotations.votes >= 0), c, annotations.votes),
    )


def pool(truth: Int[Tensor, " N"], scenario: str, known: int, absent: int = 0) -> Bool[Tensor, " N"]:
    """Which images an unlabeled pool of that scenario holds.

    Args:
        truth: class ids over all classes; the first ``known`` have names, the others are unknown.
        scenario: "closed", all known classes; "partial", without the last ``absent`` of them; "open", the known and
            the unknown; "open-partial", the known without the absent, and the unknown.
        known: number of classes with a name.
        absent: named classes without an image in the partial pools; at least one, and fewer than known.

    Raises:
        InputError: there is no such scenario, or a partial pool lacks no class or every class.
    """
    if scenario not in SCENARIOS:
        raise InputError(f"there is no scenario '{scenario}'; take one of {', '.join(SCENARIOS)}.")
    partial = scenario.endswith("partial")
    if partial and not 0 < absent < known:
        raise InputError(f"a {scenario} pool lacks from 1 to {known - 1} of {known} known classes, not {absent}.")
    present = (truth >= 0) & (truth < known - (absent if partial else 0))
    return present | (truth >= known) if scenario.startswith("open") else present


def named(truth: Int[Tensor, " N"], known: int) -> Int[Tensor, " N"]:
    """True class ids with every class from ``known`` on as `UNKNOWN`."""
    return torch.where(truth < known, truth, UNKNOWN)
