"""Alarms without labels: silent for good students of real annotators, loud for bad ones."""

import pytest
import torch

from zerolabel import health
from zerolabel.label_models import beliefs


def test_distance_by_a_loop(world):
    annotations, predicted = world.annotations, torch.randint(0, 4, (240,))
    r, lost, allowed, variance = beliefs(annotations).joint.double(), 0.0, 0.0, 0.0
    for i in range(240):
        c = int(annotations.scores[i].argmax())
        losses = [float(r[i, c] - r[i, k]) for k in range(4)]
        mean = sum(float(r[i, k]) * losses[k] for k in range(4))
        lost += losses[int(predicted[i])] / 240
        allowed += mean / 240
        variance += sum(float(r[i, k]) * (losses[k] - mean) ** 2 for k in range(4))
    found = health.distance(predicted, annotations)
    assert found.student == pytest.approx(lost)
    assert found.allowed == pytest.approx(allowed)
    assert found.deviation == pytest.approx(variance**0.5 / 240)


def test_the_annotators_own_answers_are_no_distance_away(world):
    found = health.distance(world.annotations.scores.argmax(1), world.annotations)
    assert found.student == 0 and not found.too_far


def test_a_perfect_student_sets_off_nothing(annotated_digits):
    assert health.check(annotated_digits.truth, annotated_digits.annotations) == ()


@pytest.mark.parametrize("wrong", [0.08, 0.2, 0.9])
def test_a_student_that_errs_where_annotators_are_sure_is_called_worse(annotated_digits, wrong):
    truth = annotated_digits.truth
    broken = torch.rand(len(truth)) < wrong
    predicted = torch.where(broken, (truth + torch.randint(1, 10, truth.shape)) % 10, truth)
    kinds = [alarm.kind for alarm in health.check(predicted, annotated_digits.annotations)]
    assert "worse" in kinds


def test_a_few_errors_more_than_the_annotators_make_go_unseen(annotated_digits):
    """What the alarm cannot tell from a student that puts its annotators right."""
    truth = annotated_digits.truth
    predicted = torch.where(torch.rand(len(truth)) < 0.01, (truth + 1) % 10, truth)
    assert health.worse(predicted, annotated_digits.annotations) is None


def test_collapse_names_the_classes_that_are_gone(annotated_digits):
    predicted = annotated_digits.truth.clone()
    predicted[predicted == 3] = 8
    alarm = health.collapse(predicted, annotated_digits.annotations)
    assert alarm is not None and alarm.condemns and "'3'" in alarm.text and "'8'" not in alarm.text


def test_rare_classes_and_unannotated_images_say_nothing(make_annotations):
    votes = torch.tensor([0] * 40 + [1] * 5 + [-1] * 50)[:, None]
    annotations = make_annotations(votes, 2)
    assert health.collapse(torch.zeros(95, dtype=torch.long), annotations) is None
    nobody = make_annotations(torch.full((9, 1), -1), 2)
    assert health.check(torch.ones(9, dtype=torch.long), nobody) == ()


def test_disagreement_alarms_where_it_rises():
    assert health.disagreement([0.3], 1000) is None
    assert health.disagreement([0.3, 0.2, 0.1], 1000) is None
    alarm = health.disagreement([0.1, 0.3], 1000)
    assert alarm is not None and not alarm.condemns
    assert health.disagreement([0.1, 0.16], 100) is None
