"""Scores, thresholds and pools of the open set, against loops; and handwritten digits of no named class."""

import math

import pytest
import torch
from sklearn.datasets import load_digits
from torch.nn import functional as F

from zerolabel.diagnostics import open_set
from zerolabel.errors import InputError


def test_scores_are_their_equations():
    z = torch.randn(5, 3, dtype=torch.float64)
    for row, a, b, c in zip(
        z.tolist(), open_set.mcm(z, 0.5), open_set.max_logit(z), open_set.energy(z, 2.0), strict=True
    ):
        assert float(a) == pytest.approx(max(math.exp(2 * v) for v in row) / sum(math.exp(2 * v) for v in row))
        assert float(b) == max(row)
        assert float(c) == pytest.approx(2 * math.log(sum(math.exp(v / 2) for v in row)))


def test_auroc_is_the_share_of_pairs_in_order():
    scores, known = torch.tensor([0.1, 0.4, 0.4, 0.8, 0.3]), torch.tensor([False, True, False, True, True])
    pairs = [1.0 if a > b else 0.5 if a == b else 0.0 for a in scores[known].tolist() for b in scores[~known].tolist()]
    assert open_set.auroc(scores, known) == pytest.approx(sum(pairs) / len(pairs))
    assert math.isnan(open_set.auroc(scores, known | True)) and math.isnan(open_set.auroc(scores, known & False))


def test_the_threshold_is_the_cut_of_largest_variance_between():
    scores = torch.cat([0.2 + 0.05 * torch.randn(30), 0.7 + 0.1 * torch.randn(50)]).double()

    def between(cut):
        low, high = scores[scores < cut], scores[scores >= cut]
        return float(len(low) * len(high) * (low.mean() - high.mean()) ** 2) if len(low) and len(high) else -1.0

    best = max(between(float(cut)) for cut in scores)
    assert between(open_set.threshold(scores)) == pytest.approx(best)
    assert 0.3 < open_set.threshold(scores) < 0.6
    assert open_set.threshold(scores * 4 + 1) == pytest.approx(4 * open_set.threshold(scores) + 1)


def test_nothing_is_rejected_where_all_scores_are_one():
    scores = torch.full((4,), 0.3)
    p = torch.eye(3)[torch.tensor([0, 1, 2, 1])]
    assert open_set.answers(p, scores, open_set.threshold(scores)).tolist() == [0, 1, 2, 1]
    assert open_set.answers(p, torch.tensor([0.1, 0.9, 0.2, 0.9]), 0.5).tolist() == [-1, 1, -1, 1]
    for bad in (torch.tensor([]), torch.tensor([1.0, math.nan])):
        with pytest.raises(InputError, match="finite"):
            open_set.threshold(bad)


def test_hos_is_the_harmonic_mean():
    truth, said = torch.tensor([0, 1, 1, 0, -1, -1, -1]), torch.tensor([0, 1, -1, 1, -1, -1, 0])
    assert open_set.hos(said, truth) == pytest.approx(2 * 0.5 * (2 / 3) / (0.5 + 2 / 3))
    assert open_set.hos(torch.zeros(7, dtype=torch.long), truth) == 0.0
    assert math.isnan(open_set.hos(said[:4], truth[:4])) and math.isnan(open_set.hos(said[4:], truth[4:]))


def test_pools_hold_the_classes_of_their_scenario():
    truth = torch.arange(10).repeat(2)
    held = {
        name: sorted(set(truth[open_set.pool(truth, name, known=6, absent=2)].tolist())) for name in open_set.SCENARIOS
    }
    assert held == {
        "closed": [0, 1, 2, 3, 4, 5],
        "partial": [0, 1, 2, 3],
        "open": list(range(10)),
        "open-partial": [0, 1, 2, 3, 6, 7, 8, 9],
    }
    assert open_set.named(torch.tensor([0, 5, 6, 9]), 6).tolist() == [0, 5, -1, -1]
    for bad in (0, 6):
        with pytest.raises(InputError, match="lacks from 1 to 5"):
            open_set.pool(truth, "partial", 6, bad)
    with pytest.raises(InputError, match="no scenario"):
        open_set.pool(truth, "ajar", 6)


def test_digits_without_a_name_score_lower():
    digits = load_digits()
    x, truth = torch.from_numpy(digits.data), torch.from_numpy(digits.target)
    features = F.normalize(x - x.mean(0), dim=1)
    centers = F.normalize(torch.stack([features[truth == c].mean(0) for c in range(6)]), dim=1)
    cosines, known = features @ centers.T, truth < 6
    for scores in (open_set.mcm(cosines), open_set.max_logit(cosines), open_set.energy(10 * cosines)):
        assert open_set.auroc(scores, known) > 0.8
        said = open_set.answers(cosines, scores, open_set.threshold(scores))
        assert open_set.hos(said, open_set.named(truth, 6)) > 0.6
