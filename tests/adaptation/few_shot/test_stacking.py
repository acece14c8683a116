"""Human labels and annotators' scores as one: never worse than either, over annotators and numbers of labels."""

import numpy as np
import pytest
import torch
from jaxtyping import Float, Int
from sklearn.datasets import load_digits
from torch import Tensor

from zerolabel.adaptation.few_shot.linear_probe import linear_probe
from zerolabel.adaptation.few_shot.stacking import stacked


def digits() -> tuple[Float[Tensor, "N D"], Int[Tensor, " N"]]:
    """Pixels of scikit-learn's digits as features of length 1, and their classes."""
    x, y = load_digits(return_X_y=True)
    return torch.nn.functional.normalize(torch.from_numpy(x).float(), dim=1), torch.from_numpy(y)


def drawn(y: Int[Tensor, " N"], per_class: int, accuracy: float) -> tuple[Float[Tensor, "N C"], Int[Tensor, " N"]]:
    """One annotator that is right with that probability and else names any class, and labels of a few images."""
    rng, truth = np.random.default_rng(0), y.numpy()
    vote = np.where(rng.random(len(y)) < accuracy, truth, rng.integers(0, 10, len(y)))
    rows = np.concatenate([rng.permutation(np.flatnonzero(truth == c))[:per_class] for c in range(10)])
    labels = torch.full((len(y),), -1)
    labels[rows] = y[rows]
    return torch.nn.functional.one_hot(torch.from_numpy(vote), 10).float(), labels


@pytest.mark.parametrize("per_class", [1, 4, 16])
@pytest.mark.parametrize("accuracy", [0.33, 0.7, 0.978])
def test_stacked_scores_are_above_labels_alone_and_above_the_annotator(accuracy: float, per_class: int) -> None:
    x, y = digits()
    scores, labels = drawn(y, per_class, accuracy)
    rest, given = labels < 0, labels >= 0
    alone = linear_probe(x[given], labels[given], torch.zeros(10, 64), 1.0)(x)

    def right(p: Float[Tensor, "N C"]) -> float:
        return float((p.argmax(1) == y)[rest].float().mean())

    found = stacked(scores, labels, x)
    assert right(found) >= max(right(alone), right(scores)) - 0.005
    assert right(found) > min(right(alone), right(scores))


def test_rows_are_probabilities_and_abstentions_leave_the_probe_alone() -> None:
    x, y = digits()
    scores, labels = drawn(y, 4, 0.6)
    scores[::3] = 0
    found = stacked(scores, labels, x)
    torch.testing.assert_close(found.sum(1), torch.ones(len(x)))
    alone = linear_probe(x[labels >= 0], labels[labels >= 0], torch.zeros(10, 64), 1.0)(x)
    assert torch.equal(found[::3].argmax(1), alone[::3].argmax(1))


def test_a_class_without_a_label_keeps_a_chance_and_the_others_gain() -> None:
    x, y = digits()
    scores, labels = drawn(y, 4, 0.6)
    labels[labels == 3] = -1
    found, rest = stacked(scores, labels, x), (labels < 0) & (y != 3)
    alone = linear_probe(x[labels >= 0], labels[labels >= 0], torch.zeros(10, 64), 1.0)(x)
    right = [float((p.argmax(1) == y)[rest].float().mean()) for p in (found, alone, scores)]
    assert right[0] > max(right[1:]) and bool((found[:, 3] > 0).all())
    torch.testing.assert_close(found.sum(1), torch.ones(len(x)))


def test_classes_with_a_single_label_leave_the_stack_above_labels_alone() -> None:
    x, y = digits()
    scores, labels = drawn(y, 8, 0.5)
    for rare in (1, 7):
        labels[(labels == rare).nonzero()[1:]] = -1
    found, rest = stacked(scores, labels, x), labels < 0
    alone = linear_probe(x[labels >= 0], labels[labels >= 0], torch.zeros(10, 64), 1.0)(x)
    right = [float((p.argmax(1) == y)[rest].float().mean()) for p in (found, alone, scores)]
    assert right[0] > max(right[1:])


def test_many_classes_without_a_label_leave_the_scores() -> None:
    x, y = digits()
    scores, labels = drawn(y, 1, 0.6)
    labels[labels == 3] = -1
    assert stacked(scores, labels, x) is scores
