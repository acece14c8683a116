"""Annotators and few human labels as one score: stacked generalization. Wolpert. Neural Networks 5, 1992.

    log s  =  a log h + b log q + const

q are the annotators' scores and h is a linear probe (`linear_probe`) on the human labels alone. a and b minimize the
cross-entropy on the labeled images, where the probability h of an image comes from a probe that did not learn it. So
annotators that contradict the labels count little and the labels lead, and the other way round. Without it a label
only overrules the annotators on its own image, which is worse than a probe where annotators are poor.

Ours: a penalty of `PULL` on the squared logarithms of a / 2 and 2 b, since probes of few labels are too unsure and
annotators too sure, and a handful of labels does not show it. The label of a class with no other one is learned by
every probe and shows nothing; where no class has two labels, a is 2. Classes without a label share
the probability that the next image is of one of them, which the number of classes with one label estimates (Good.
Biometrika 40, 1953); where that is more than `MOST_UNSEEN`, h has too little information, and the scores stay.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from zerolabel.adaptation.few_shot.linear_probe import cross_validated, linear_probe
from zerolabel.blocks.lbfgs import minimized

LEAST = 1e-6
"""Added to probabilities before the logarithm."""
PULL = 1e-2
START = (2.0, 0.5)
"""a and b without evidence."""
MOST_UNSEEN = 0.1
PARTS = 5
ITERATIONS = 100


def stacked(
    scores: Float[Tensor, "N C"], labels: Int[Tensor, " N"], features: Float[Tensor, "N D"]
) -> Float[Tensor, "N C"]:
    """The annotators' scores combined with what human labels say of all images.

    Args:
        scores: probabilities; a row of zeros is an image on which every annotator abstained.
        labels: class id given by a person, -1 where there is none.
        features: of length 1.

    Returns:
        Rows that sum to 1; the scores as they are where too many classes have no label.
    """
    rows = (labels >= 0).nonzero().squeeze(1)
    shots, given = features[rows].float(), labels[rows]
    counts = torch.bincount(given, minlength=scores.shape[1])
    unseen, share = counts == 0, (int((counts == 1).sum()) + 1) / (len(rows) + 1)
    if scores.shape[1] < 2 or int((~unseen).sum()) < 2 or (bool(unseen.any()) and share > MOST_UNSEEN):
        return scores
    penalty = cross_validated(shots.double().numpy(), given.numpy())
    own = _with_unseen(_probe(shots, given, features.float(), scores.shape[1], penalty), unseen, share).log()
    annotated = _log(scores)
    shown, a = counts[given] > 1, START[0]
    if not bool(shown.any()):
        (b,) = _fitted([annotated[rows]], given, START[1:])
    else:
        held_out = _with_unseen(_left_out(shots, given, shown, scores.shape[1], penalty), unseen, share).log()
        a, b = _fitted([held_out, annotated[rows[shown]]], given[shown], START)
    return (a * own + b * annotated).softmax(1).to(scores)


def _with_unseen(p: Float[Tensor, "N C"], unseen: Bool[Tensor, " C"], share: float) -> Float[Tensor, "N C"]:
    """Positive probabilities, of which classes without a label have a share."""
    own = share * unseen / unseen.sum().clamp_min(1)
    return p * (1 - own.sum()) + own + LEAST


def _log(p: Float[Tensor, "N C"]) -> Float[Tensor, "N C"]:
    return (p + LEAST).log()


def _probe(
    shots: Float[Tensor, "M D"], given: Int[Tensor, " M"], features: Float[Tensor, "N D"], n: int, penalty: float
) -> Float[Tensor, "N C"]:
    """Probabilities of images by a probe on the shots."""
    head = linear_probe(shots, given, shots.new_zeros(n, shots.shape[1]), 1.0, penalty=penalty)
    with torch.no_grad():
        p: Tensor = head(features).softmax(1)
        return p


def _left_out(
    shots: Float[Tensor, "M D"], given: Int[Tensor, " M"], shown: Bool[Tensor, " M"], n: int, penalty: float
) -> Float[Tensor, "K C"]:
    """Probabilities of each shown shot by a probe that learned all others but its part of the shown ones."""
    from sklearn.model_selection import StratifiedKFold

    x, labels = shots[shown], given[shown]
    found = x.new_zeros(len(x), n)
    parts = min(PARTS, int(np.unique(labels.numpy(), return_counts=True)[1].min()))
    for learned, left in StratifiedKFold(parts).split(x.numpy(), labels.numpy()):
        own, own_labels = torch.cat([x[learned], shots[~shown]]), torch.cat([labels[learned], given[~shown]])
        found[left] = _probe(own, own_labels, x[left], n, penalty)
    return found


def _fitted(logs: list[Float[Tensor, "M C"]], given: Int[Tensor, " M"], start: tuple[float, ...]) -> list[float]:
    """Positive weights of the log probabilities under which the labels are most likely, not far from a start."""
    each, center = torch.stack(logs).double(), torch.tensor(start).double().log()

    def loss(logs_of_weights: Tensor) -> Tensor:
        mixed = torch.einsum("k,kmc->mc", logs_of_weights.exp(), each)
        return functional.cross_entropy(mixed, given) + PULL * (logs_of_weights - center).square().sum()

    weights: list[float] = minimized(loss, center, ITERATIONS).exp().tolist()
    return weights


__all__ = ["stacked"]
