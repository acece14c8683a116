import json
import math

import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, confusion_matrix

from zerolabel.diagnostics.agreement import agreement, class_counts, confidence_histogram, mean_candidates
from zerolabel.diagnostics.calibration import calibrate, mean_confidence, threshold_for_share
from zerolabel.errors import InputError
from zerolabel.evaluation import metrics


@pytest.fixture
def some():
    torch.manual_seed(0)
    p = torch.randn(200, 4).mul(2).softmax(1)
    truth = torch.randint(-1, 4, (200,))
    return p, truth


def test_accuracies_match_scikit_learn(some):
    p, truth = some
    predicted, known = p.argmax(1), truth >= 0
    assert metrics.accuracy(predicted, truth) == pytest.approx((predicted == truth)[known].float().mean())
    expected = balanced_accuracy_score(truth[known], predicted[known])
    assert metrics.mean_per_class_accuracy(predicted, truth, 4) == pytest.approx(expected)
    found = metrics.confusion_matrix(predicted, truth, 4)
    assert found.tolist() == confusion_matrix(truth[known], predicted[known]).tolist()
    assert torch.allclose(metrics.per_class_accuracy(predicted, truth, 4), found.diag() / found.sum(1))


def test_an_abstention_is_not_right_and_unknown_truth_does_not_count():
    predicted, truth = torch.tensor([0, -1, 1, 1]), torch.tensor([0, 0, -1, 1])
    assert metrics.accuracy(predicted, truth) == pytest.approx(2 / 3)
    assert metrics.confusion_matrix(predicted, truth, 2).tolist() == [[1, 0], [0, 1]]


def test_calibration_error_by_a_plain_loop(some):
    p, truth = some
    rows = [(float(x.max()), int(x.argmax()) == int(t)) for x, t in zip(p, truth, strict=True) if t >= 0]
    expected = 0.0
    for b in range(15):
        inside = [row for row in rows if min(int(row[0] * 15), 14) == b]
        if inside:
            gap = sum(c for c, _ in inside) / len(inside) - sum(r for _, r in inside) / len(inside)
            expected += len(inside) / len(rows) * abs(gap)
    assert metrics.expected_calibration_error(p, truth) == pytest.approx(expected, abs=1e-6)


def test_calibration_error_of_certain_answers():
    p, truth = torch.eye(2)[[0, 0, 1, 1]], torch.tensor([0, 0, 1, 0])
    assert metrics.expected_calibration_error(p, truth) == pytest.approx(0.25)


def test_candidates_and_votes():
    candidates = torch.tensor([[1, 1, 0], [0, 1, 0], [0, 0, 0], [1, 1, 1]]).bool()
    truth = torch.tensor([0, 2, 1, -1])
    assert metrics.candidate_coverage(candidates, truth) == 0.5
    assert mean_candidates(candidates) == 2.0
    votes = torch.tensor([[0, -1], [2, -1], [0, -1], [1, -1]])
    assert metrics.vote_accuracy(votes, truth).tolist() == pytest.approx([2 / 3, math.nan], nan_ok=True)


def test_label_free_figures():
    first, second = torch.tensor([0, 1, 2, -1]), torch.tensor([0, 1, 1, 2])
    assert agreement(first, second) == pytest.approx(2 / 3)
    assert class_counts(first, 4).tolist() == [1, 1, 1, 0]
    p = torch.tensor([[1.0, 0.0], [0.5, 0.5], [0.51, 0.49]])
    assert confidence_histogram(p, 4).tolist() == [0, 0, 2, 1]


def test_nothing_known_is_not_a_number():
    truth = torch.full((3,), -1)
    assert math.isnan(metrics.accuracy(torch.tensor([0, 1, 2]), truth))
    result = metrics.evaluate(torch.full((3, 2), 0.5), truth, ("a", "b"))
    assert (result["n"], result["accuracy"], result["ece"]) == (0, None, None)
    json.dumps(result, allow_nan=False)


def test_evaluate_counts_an_unreadable_image_as_wrong():
    p = torch.tensor([[0.9, 0.1], [math.nan, math.nan], [0.2, 0.8]])
    result = metrics.evaluate(p, torch.tensor([0, 0, 1]), ("a", "b"))
    assert result["accuracy"] == pytest.approx(2 / 3)
    assert result["per_class"] == {"a": 0.5, "b": 1.0}
    with pytest.raises(InputError, match="do not belong together"):
        metrics.evaluate(p, torch.tensor([0, 0, 1]), ("a", "b", "c"))


def test_temperature_meets_the_target():
    torch.manual_seed(0)
    logits = torch.randn(500, 7) * 6
    for target in (0.5, 0.8, 0.97):
        assert mean_confidence(logits, calibrate(logits, target)) == pytest.approx(target, abs=1e-6)
    assert calibrate(logits, 0.0) == pytest.approx(20.0)
    clear = torch.eye(7).repeat(70, 1) * 20
    assert mean_confidence(clear, calibrate(clear, 1.0)) == pytest.approx(491 / 492, abs=1e-6)
    assert calibrate(logits * 1e-3, 0.9) == pytest.approx(0.05)
    assert calibrate(torch.zeros(3, 4), 0.9) == 1.0


def test_temperature_recovers_the_one_that_was_undone():
    torch.manual_seed(0)
    logits = torch.randn(20_000, 5) * 2
    truth = torch.distributions.Categorical(logits=logits).sample()
    accuracy = metrics.accuracy(logits.argmax(1), truth)
    assert calibrate(logits * 3, accuracy) == pytest.approx(3, rel=0.05)


def test_bad_targets_are_refused():
    with pytest.raises(InputError, match="between 0 and 1"):
        calibrate(torch.ones(1, 2), 90.0)
    with pytest.raises(InputError, match="at least one image"):
        calibrate(torch.zeros(0, 2), 0.5)
    with pytest.raises(InputError, match="finite"):
        calibrate(torch.tensor([[math.nan, 1.0]]), 0.5)


@pytest.mark.parametrize("share", [0.05, 0.5, 0.95, 1.0])
def test_threshold_keeps_the_share(share):
    torch.manual_seed(0)
    confidence = torch.rand(200)
    kept = (confidence >= threshold_for_share(confidence, share)).sum()
    assert int(kept) == round(share * 200)


def test_threshold_needs_images_and_a_share():
    with pytest.raises(InputError):
        threshold_for_share(torch.zeros(0), 0.5)
    with pytest.raises(InputError):
        threshold_for_share(torch.ones(3), 0.0)
    assert threshold_for_share(torch.full((5,), 0.7), 0.2) == pytest.approx(0.7)
