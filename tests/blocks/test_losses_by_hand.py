"""Entropies of the losses on numbers that can be checked by hand."""

from math import log

import pytest
import torch

from zerolabel.blocks import losses

P = torch.tensor([[0.5, 0.5], [0.9, 0.1]])
ENTROPIES = [log(2), -0.9 * log(0.9) - 0.1 * log(0.1)]


def test_weighted_entropy_by_hand() -> None:
    weight = torch.tensor([1.0, 3.0])
    expected = (ENTROPIES[0] + 3 * ENTROPIES[1]) / 4
    assert float(losses.weighted_entropy(P.log(), weight)) == pytest.approx(expected, rel=1e-5)
    assert float(losses.weighted_entropy(P.log(), torch.ones(2))) == pytest.approx(sum(ENTROPIES) / 2, rel=1e-5)


def test_surer_predictions_have_less_entropy() -> None:
    one = torch.ones(1)
    unsure, sure = (float(losses.weighted_entropy(row[None].log(), one)) for row in P)
    assert 0 < sure < unsure


def test_entropy_of_a_weighted_mean_by_hand() -> None:
    mean = (0.5 + 3 * 0.9) / 4
    expected = -mean * log(mean) - (1 - mean) * log(1 - mean)
    assert float(losses.entropy_of_mean(P.log(), torch.tensor([1.0, 3.0]))) == pytest.approx(expected, rel=1e-5)


def test_negative_entropy_by_hand() -> None:
    assert float(losses.negative_entropy(P.log())) == pytest.approx(-sum(ENTROPIES) / 2, rel=1e-5)
