"""Alarms without labels: silent for good students of real annotators, loud for bad ones."""

from dataclasses import replace

import pytest
import torch

from zerolabel.annotations.noise import beliefs
from zerolabel.blocks import targets
from zerolabel.diagnostics import alarms


def with_mistakes(truth, accuracy):
    """Answers that are right so often, and else any other of ten classes."""
    wrong = (truth + torch.randint(1, 10, truth.shape)) % 10
    return torch.where(torch.rand(len(truth)) < accuracy, truth, wrong)


def test_estimate_by_a_loop(world):
    annotations, predicted = world.annotations, torch.randint(0, 4, (240,))
    r, student, annotators, truth, other, squares = beliefs(annotations).joint.double(), 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(240):
        given = float(r[i, int(predicted[i])])
        student, squares = student + given / 240, squares + given**2 / 240
        annotators += float(r[i, int(annotations.scores[i].argmax())]) / 240
        for y in range(4):  # if y is true, which it is with probability r_y
            truth += float(r[i, y]) * float(r[i, y]) / 240
            other += float(r[i, y]) * sum(float(r[i, k]) for k in range(4) if k != y) / 3 / 240
    found = alarms.estimate(predicted, annotations)
    assert found.student == pytest.approx((student - other) / (truth - other))
    assert found.annotators == pytest.approx(annotators)
    deviation = ((squares - student**2) / 239) ** 0.5
    assert found.deviation == pytest.approx(deviation / (truth - other))


@pytest.mark.parametrize("accuracy", [0.3, 0.6, 0.8, 0.95])
def test_the_estimate_is_the_accuracy_of_a_student_with_mistakes_of_its_own(annotated_digits, accuracy):
    predicted = with_mistakes(annotated_digits.truth, accuracy)
    found = alarms.estimate(predicted, annotated_digits.annotations)
    right = float((predicted == annotated_digits.truth).float().mean())
    assert found.student == pytest.approx(right, abs=3 * found.deviation + 0.01)


def test_the_annotators_own_answers_are_never_called_worse(world):
    found = alarms.estimate(world.annotations.scores.argmax(1), world.annotations)
    assert found.student >= found.annotators and not found.below


@pytest.mark.parametrize("n_labels", [0, 60])
def test_human_labels_show_that_the_annotators_are_poor(make_annotations, n_labels):
    """One annotator without doubts that is right on 43%: labels of a few images tell that the student is better."""
    truth = torch.randint(0, 10, (2000,))
    annotations = make_annotations(with_mistakes(truth, 0.43)[:, None], 10)
    labels = torch.where(torch.arange(2000) < n_labels, truth, -1)
    found = alarms.check(with_mistakes(truth, 0.95), replace(annotations, labels=labels))
    assert [alarm.kind for alarm in found] == ([] if n_labels else ["worse"])


def test_a_better_student_of_annotators_that_guess_is_not_called_worse(make_annotations):
    """One annotator that names three of ten classes, one of them true: a student may leave its sets and be better."""
    truth = torch.randint(0, 10, (2000,))
    sets = torch.rand(2000, 10).argsort(1)[:, :2]
    candidates = torch.nn.functional.one_hot(torch.cat([truth[:, None], sets], 1), 10).any(1)
    annotations = replace(
        make_annotations(truth[:, None], 10), candidates=candidates, scores=targets.uniform_over(candidates)
    )
    annotations = replace(annotations, votes=torch.full((2000, 1), -1))
    assert alarms.worse(with_mistakes(truth, 0.6), annotations) is None
    assert alarms.worse(with_mistakes(truth, 0.2), annotations) is not None


def test_a_perfect_student_sets_off_nothing(annotated_digits):
    assert alarms.check(annotated_digits.truth, annotated_digits.annotations) == ()


@pytest.mark.parametrize("wrong", [0.08, 0.2, 0.9])
def test_a_student_that_errs_where_annotators_are_sure_is_called_worse(annotated_digits, wrong):
    predicted = with_mistakes(annotated_digits.truth, 1 - wrong)
    kinds = [alarm.kind for alarm in alarms.check(predicted, annotated_digits.annotations)]
    assert "worse" in kinds


def test_a_few_errors_more_than_the_annotators_make_go_unseen(annotated_digits):
    """What the alarm cannot tell from a student that puts its annotators right."""
    truth = annotated_digits.truth
    predicted = torch.where(torch.rand(len(truth)) < 0.01, (truth + 1) % 10, truth)
    assert alarms.worse(predicted, annotated_digits.annotations) is None


def test_collapse_names_the_classes_that_are_gone(annotated_digits):
    predicted = annotated_digits.truth.clone()
    predicted[predicted == 3] = 8
    alarm = alarms.collapse(predicted, annotated_digits.annotations)
    assert alarm is not None and alarm.blocks_deployment and "'3'" in alarm.text and "'8'" not in alarm.text


def test_rare_classes_and_unannotated_images_say_nothing(make_annotations):
    votes = torch.tensor([0] * 40 + [1] * 5 + [-1] * 50)[:, None]
    annotations = make_annotations(votes, 2)
    assert alarms.collapse(torch.zeros(95, dtype=torch.long), annotations) is None
    nobody = make_annotations(torch.full((9, 1), -1), 2)
    assert alarms.check(torch.ones(9, dtype=torch.long), nobody) == ()


def test_disagreement_alarms_where_it_rises():
    assert alarms.disagreement([0.3], 1000) is None
    assert alarms.disagreement([0.3, 0.2, 0.1], 1000) is None
    alarm = alarms.disagreement([0.1, 0.3], 1000)
    assert alarm is not None and not alarm.blocks_deployment
    assert alarms.disagreement([0.1, 0.16], 100) is None


def test_a_class_that_the_annotators_saw_by_mistake_does_not_collapse(make_annotations):
    """Of 24 images that look like class 0 to the annotators, they are sure of four; these alone the student keeps."""
    classes = torch.arange(240) % 4
    classes[:24] = 0
    scores = 0.97 * torch.eye(4)[classes] + 0.0075
    scores[4:24] = torch.tensor([0.55, 0.45, 0.0, 0.0])
    scores[24:][classes[24:] == 0] = torch.tensor([0.01, 0.97, 0.01, 0.01])
    annotations = make_annotations(scores.argmax(1)[:, None], 4).with_scores(scores)
    corrected = torch.where(torch.arange(240) < 4, 0, scores.argmax(1))
    corrected[4:24] = 1
    assert alarms.class_shares(corrected, annotations)[0] < alarms.COLLAPSED
    assert alarms.collapse(corrected, annotations) is None
    gone = torch.where(corrected == 0, 1, corrected)
    assert "rarely predicts '" in alarms.collapse(gone, annotations).text
