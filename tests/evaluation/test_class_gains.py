"""Gains of the classes with low and with high zero-shot accuracy."""

import math

import pytest
import torch

from zerolabel.evaluation.class_gains import class_gains, estimated_class_gains


def test_classes_are_sorted_and_halves_averaged():
    before = {"a": 0.9, "b": 0.1, "c": 0.5, "d": 0.7, "e": 0.3}
    found = class_gains(before, {"a": 0.8, "b": 0.4, "c": 0.0, "d": 0.9, "e": 0.4})
    assert found.classes == ("b", "e", "c", "d", "a") and found.before == (0.1, 0.3, 0.5, 0.7, 0.9)
    assert found.lower_half == pytest.approx((0.3 + 0.1) / 2) and found.upper_half == pytest.approx((0.2 - 0.1) / 2)
    assert found.to_dict()["classes"][0] == {"name": "b", "before": 0.1, "after": 0.4}


def test_classes_without_images_are_left_out():
    found = class_gains({"a": None, "b": math.nan, "c": 0.5, "d": 0.2}, {"a": 1.0, "b": 1.0, "c": 0.6})
    assert found.classes == ("c",) and found.lower_half is None and found.upper_half is None
    assert class_gains({}, {}).to_dict() == {"lower_half_gain": None, "upper_half_gain": None, "classes": []}


def test_estimates_of_calibrated_probabilities_are_right():
    """Labels are drawn from what both models hold together, so that it is calibrated; the estimate then is unbiased."""
    generator = torch.Generator().manual_seed(0)
    before = torch.randn(20_000, 4, generator=generator).mul(2).softmax(1)
    after = torch.randn(20_000, 4, generator=generator).mul(3).add(2 * before.log()).softmax(1)
    truth = ((before + after) / 2).multinomial(1, generator=generator).squeeze(1)
    names = ("a", "b", "c", "d")

    def shares(p):
        return {name: float((p.argmax(1) == truth)[truth == c].float().mean()) for c, name in enumerate(names)}

    exact, found = class_gains(shares(before), shares(after)), estimated_class_gains(before, after, names)
    for name in names:
        i, j = found.classes.index(name), exact.classes.index(name)
        assert found.before[i] == pytest.approx(exact.before[j], abs=0.02)
        assert found.after[i] == pytest.approx(exact.after[j], abs=0.02)
    assert estimated_class_gains(before[:, :1] * 0 + 1, after[:, :1] * 0 + 1, ("one",)).lower_half is None


def test_classes_that_nobody_sees_are_left_out_of_estimates():
    p = torch.tensor([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0]])
    assert set(estimated_class_gains(p, p, ("a", "b", "c")).classes) <= {"a", "b"}


def test_nothing_changes_nothing():
    same = {"a": 0.2, "b": 0.2, "c": 0.8, "d": 0.9}
    found = class_gains(same, same)
    assert found.classes == ("a", "b", "c", "d") and found.lower_half == found.upper_half == 0
