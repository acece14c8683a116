"""Annotators and few human labels as one score: stacked generalization. Wolpert. Neural Networks 5, 1992.

    log s  =  a log h + b log q + const

q are the annotators' scores and h is a linear probe (`linear_probe`) on the human labels alone. a and b minimize the
cross-entropy on the labeled images, where the probability h of an image comes from a probe that did not learn it. So
annotators that contradict the labels count little and the labels lead, and the other way round. Without it a label
only overrules the annotators on its own image, which is worse than a probe where annotators are poor.

Ours: a penalty of `PULL` on the squared logarithms of a / 2 and 2 b, since probes of few labels are too unsure and
annotators too sure, and a handful of labels does not show it. Where a class has a single label there is no probe that
did not learn it, and a is 2. Where a class has no label, h has no information about it, and the scores stay.
"""

import numpy as np
import torch
from jaxtyping import Float, Int
from sklearn.model_selection import StratifiedKFold
from torch import Tensor
from torch.nn import functional

from zerolabel.adaptation.few_shot.linear_probe import cross_validated, linear_probe
from zerolabel.blocks.lbfgs import minimized

LEAST = 1e-6
"""Added to probabilities before the logarithm."""
PULL = 1e-2
START = (2.0, 0.5)
"""a and b without evidence."""
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
        Rows that sum to 1; the scores as they are where a class has no label.
    """
    rows = (labels >= 0).nonzero().squeeze(1)
    shots, given = features[rows].float(), labels[rows]
    counts = torch.bincount(given, minlength=scores.shape[1])
    if scores.shape[1] < 2 or int(counts.min()) == 0:
        return scores
    penalty = cross_validated(shots.double().numpy(), given.numpy())
    own = _log(_probe(shots, given, features.float(), scores.shape[1], penalty))
    annotated = _log(scores)
    if int(counts.min()) > 1:
        a, b = _fitted([_log(_left_out(shots, given, scores.shape[1], penalty)), annotated[rows]], given, START)
    else:
        a, (b,) = START[0], _fitted([annotated[rows]], given, START[1:])
    return (a * own + b * annotated).softmax(1).to(scores)


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


def _left_out(shots: Float[Tensor, "M D"], given: Int[Tensor, " M"], n: int, penalty: float) -> Float[Tensor, "M C"]:
    """Probabilities of each shot by a probe that did not learn it."""
    found = shots.new_zeros(len(shots), n)
    parts = min(PARTS, int(np.unique(given.numpy(), return_counts=True)[1].min()))
    for learned, left in StratifiedKFold(parts).split(shots.numpy(), given.numpy()):
        found[left] = _probe(shots[learned], given[learned], shots[left], n, penalty)
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
