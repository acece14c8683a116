"""Criteria without labels, against plain loops and closed forms."""

import math

import pytest
import torch

from zerolabel.annotations.noise import beliefs
from zerolabel.diagnostics import model_selection
from zerolabel.errors import InputError


@pytest.fixture
def p():
    return torch.randn(60, 5).softmax(1)


def test_learners_are_in_the_order_of_the_criterion():
    assert model_selection.ranked({"cc": 0.6, "coreg": 0.55, "rc": 0.64}) == ["rc", "cc", "coreg"]
    assert model_selection.ranked({"cc": 0.6, "rc": 0.7, "lws": math.nan}) == ["rc", "cc", "lws"]
    assert model_selection.ranked({}) == []


@pytest.fixture
def candidates():
    sets = torch.rand(60, 5) < 0.4
    sets[:3] = False
    return sets


def test_covering_rate_counts_images(p, candidates):
    inside = [bool(candidates[i, int(p[i].argmax())]) for i in range(60) if candidates[i].any()]
    assert model_selection.covering_rate(p, candidates) == pytest.approx(sum(inside) / len(inside))


def test_approximated_accuracy_is_one_minus_the_risk_over_the_candidates(p, candidates):
    values = []
    for i in range(60):
        mine = [j for j in range(5) if candidates[i, j]]
        if mine:
            total = sum(float(p[i, j]) for j in mine)
            values.append(1 - sum(float(p[i, j]) / total for j in mine if j != int(p[i].argmax())))
    assert model_selection.approximated_accuracy(p, candidates) == pytest.approx(sum(values) / len(values), abs=1e-6)


def test_with_one_candidate_each_both_are_the_share_of_matches(p):
    one = torch.nn.functional.one_hot(torch.arange(60) % 5, 5).bool()
    share = float((p.argmax(1) == torch.arange(60) % 5).double().mean())
    assert model_selection.covering_rate(p, one) == pytest.approx(share)
    assert model_selection.approximated_accuracy(p, one) == pytest.approx(share)


def test_no_probability_inside_the_candidates_counts_nothing():
    sure = torch.tensor([[1.0, 0.0, 0.0]])
    assert model_selection.approximated_accuracy(sure, torch.tensor([[False, True, True]])) == 0


def test_nuclear_norm_is_one_for_sure_and_even_predictions_and_small_for_collapsed_ones():
    even, collapsed, flat = torch.eye(4).repeat(5, 1), torch.eye(4)[[0] * 20], torch.full((20, 4), 0.25)
    assert model_selection.nuclear_norm(even) == pytest.approx(1)
    assert model_selection.nuclear_norm(collapsed) == pytest.approx(1 / math.sqrt(4))
    assert model_selection.nuclear_norm(flat) == pytest.approx(0.5 / math.sqrt(4))
    assert model_selection.nuclear_norm(torch.rand(3, 9).softmax(1)) <= 1
    with pytest.raises(InputError, match="at least one image"):
        model_selection.nuclear_norm(torch.zeros(0, 3))


def test_fused_reference_by_a_loop(p):
    scores = torch.randn(60, 5).softmax(1)
    scores[:4] = 0
    values = []
    for i in range(4, 60):
        r = [math.sqrt(float(p[i, j]) * float(scores[i, j])) for j in range(5)]
        values.append(r[int(p[i].argmax())] / sum(r))
    assert model_selection.fused_reference(p, scores) == pytest.approx(sum(values) / len(values), abs=1e-6)


def test_agreement_with_what_annotators_believe(world):
    annotations = world.annotations
    r = beliefs(annotations).joint
    best = [max(range(4), key=lambda c: float(r[i, c]) if annotations.candidates[i, c] else -1.0) for i in range(240)]
    perfect = torch.nn.functional.one_hot(torch.tensor(best), 4).float()
    assert model_selection.cleaned_agreement(perfect, annotations) == 1
    assert model_selection.cleaned_agreement(perfect.roll(1, 1), annotations) == 0
    chosen = [float(r[i, best[i]]) for i in range(240)]
    assert model_selection.believed_accuracy(perfect, annotations) == pytest.approx(sum(chosen) / 240, abs=1e-6)


def test_the_better_student_has_the_better_criteria(world):
    truth = torch.nn.functional.one_hot(world.truth, 4).float()
    good, bad = 0.9 * truth + 0.025, truth.clone()
    bad[:80] = truth[:80].roll(1, 1)
    bad = 0.9 * bad + 0.025
    mine, others = model_selection.criteria(good, world.annotations), model_selection.criteria(bad, world.annotations)
    for name in ("covering_rate", "approximated_accuracy", "cleaned_agreement", "believed_accuracy", "fused_reference"):
        assert mine[name] > others[name], name


def test_average_confidence_falls_with_the_temperature(p):
    one = model_selection.average_confidence(p.log(), 1.0)
    assert one == pytest.approx(float(p.amax(1).mean()), abs=1e-6)
    assert model_selection.average_confidence(p.log(), 3.0) < one


def test_stability_is_the_mean_over_pairs_of_seeds():
    seeds = [torch.tensor([0, 1, 2, 2]), torch.tensor([0, 1, 2, 1]), torch.tensor([0, 0, 2, 2])]
    assert model_selection.stability(seeds) == pytest.approx((0.75 + 0.75 + 0.5) / 3)
    assert math.isnan(model_selection.stability(seeds[:1]))


def test_two_networks(p):
    assert model_selection.network_agreement(p, p) == 1
    assert model_selection.network_agreement(p, p.roll(1, 1)) == 0
