"""What an inspection says of annotations whose faults are known."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from zerolabel.annotations import Annotations, Annotator
from zerolabel.annotations.label_models import first_votes
from zerolabel.diagnostics.inspection import Inspection, TextSpace, inspect
from zerolabel.diagnostics.inspection.class_names import near_by_letters, near_by_text, unclear, words
from zerolabel.diagnostics.inspection.intervals import TOO_SURE, Share, noise
from zerolabel.diagnostics.inspection.intervals import accuracy as estimated_accuracy
from zerolabel.diagnostics.inspection.text_space import text_space
from zerolabel.errors import InputError
from zerolabel.evaluation.metrics import accuracy, candidate_coverage, vote_accuracy

Make = Callable[..., Annotations]


def about(found: Inspection, subject: str) -> str:
    return " | ".join(finding.text for finding in found.findings if finding.about == subject)


def voted(n: int, n_classes: int, accuracies: list[float]) -> tuple[torch.Tensor, torch.Tensor]:
    truth = torch.randint(n_classes, (n,))
    wrong = (truth[:, None] + torch.randint(1, n_classes, (n, len(accuracies)))) % n_classes
    return torch.where(torch.rand(wrong.shape) < torch.tensor(accuracies), truth[:, None], wrong), truth


def inside(share: Share) -> bool:
    return (
        share.true is not None and share.low <= share.true <= share.high and share.low <= share.estimate <= share.high
    )


def test_digits_are_within_five_points_and_inside_the_interval(annotated_digits: Any) -> None:
    annotations, truth = annotated_digits.annotations, annotated_digits.truth
    found = inspect(annotations, truth=truth, text=text_space(annotations))
    assert found.n_known == 1797
    assert found.coverage.true == pytest.approx(candidate_coverage(annotations.candidates, truth))
    assert found.label_noise.true == pytest.approx(1 - accuracy(annotations.scores.argmax(1), truth))
    for share in (found.coverage, found.label_noise):
        assert abs(share.estimate - share.true) < 0.05 and inside(share) and share.high - share.low < 0.15
    assert found.accuracy == tuple(vote_accuracy(annotations.votes, truth).tolist())
    assert max(abs(a - b) for a, b in zip(found.quality, found.accuracy, strict=True)) < 0.03
    assert found.near_by == "the text encoder of glyphs" and not found.near


def test_truth_enters_no_estimate(make_annotations: Make) -> None:
    votes, truth = voted(300, 4, [0.9, 0.7, 0.6])
    blind = inspect(make_annotations(votes, 4)).as_json()
    for known in (truth, (truth + 1) % 4):
        told = inspect(make_annotations(votes, 4), truth=known).as_json()
        assert told["n_known"] == 300
        for name in ("coverage", "label_noise"):
            assert {**told[name], "true": None} == blind[name]
        assert told["findings"] == blind["findings"]


@pytest.mark.parametrize("accuracies", [[0.6] * 8, [0.9, 0.8, 0.7], [0.95, 0.9, 0.4, 0.4, 0.8]])
def test_the_interval_holds_what_independent_annotators_miss(make_annotations: Make, accuracies: list[float]) -> None:
    votes, truth = voted(2000, 5, accuracies)
    missed, wrong = noise(make_annotations(votes, 5), truth)
    assert inside(missed) and inside(wrong)


def test_the_interval_holds_what_prompts_of_one_model_miss_together(make_annotations: Make) -> None:
    p = torch.distributions.Dirichlet(torch.full((10,), 0.06)).sample((2000,))
    said = (p.clamp_min(1e-6).log()[:, None] + 0.5 * torch.randn(2000, 6, 10)).softmax(2)
    annotations = make_annotations(said.argmax(2), 10, scores=said.mean(1))
    missed, wrong = noise(annotations, p.multinomial(1)[:, 0])
    assert inside(missed) and inside(wrong)
    assert wrong.high > wrong.estimate + TOO_SURE / 2


def test_one_vote_without_confidence_says_nothing(make_annotations: Make) -> None:
    missed, wrong = noise(make_annotations(torch.randint(3, (50, 1)), 3))
    assert (missed.low, missed.high, wrong.low, wrong.high) == (0.0, 1.0, 0.0, 1.0)


def test_human_labels_narrow_the_interval(make_annotations: Make) -> None:
    votes, truth = voted(1000, 3, [0.7])
    labels = torch.where(torch.arange(1000) < 200, truth, -1)
    annotations = make_annotations(votes, 3, labels=labels)
    missed, wrong = noise(annotations, truth)
    assert inside(wrong) and inside(missed)
    assert wrong.high - wrong.low < 0.4


@pytest.mark.parametrize(
    "votes", [torch.zeros(0, 2), torch.zeros(4, 0), torch.full((4, 2), -1)], ids=["no image", "no annotator", "silence"]
)
def test_an_inspection_of_nothing(make_annotations: Make, votes: torch.Tensor) -> None:
    found = inspect(make_annotations(votes.long(), 3), truth=torch.full((len(votes),), -1))
    assert (found.coverage.low, found.coverage.high) == (0.0, 1.0)
    assert json.loads(json.dumps(found.as_json(), allow_nan=False))["n_known"] == 0


def test_prompts_that_stand_out(make_annotations: Make) -> None:
    votes, _ = voted(400, 4, [0.95, 0.9, 0.9, 0.3, 0.9, 0.9])
    votes[:, 1] = votes[:, 0]
    votes[:, 4] = -1
    votes[:, 5] = torch.where(torch.arange(400) < 360, 2, votes[:, 5])
    text = about(inspect(make_annotations(votes, 4)), "annotators")
    assert "1 of 6 annotators never disagree" in text and "“template 1 of {}” repeats “template 0 of {}”" in text
    assert "“template 3 of {}” has an estimated accuracy of" in text
    assert "“template 4 of {}” never voted" in text
    assert "“template 5 of {}” votes for class 2 on" in text
    alone = inspect(make_annotations(votes[:, :1], 4))
    assert "One annotator voted" in about(alone, "annotators") and "holds one class" in about(alone, "candidates")


def test_classes_that_stand_out(make_annotations: Make) -> None:
    votes, _ = voted(300, 2, [0.9, 0.9])
    votes = torch.where(torch.arange(300)[:, None] < 200, 0, votes)
    votes[:40, 1] = 3
    text = about(inspect(make_annotations(votes, 5)), "classes")
    assert "Nobody votes for class 2, class 4" in text
    assert "class 0 gets" in text
    assert "100% of the candidate sets with class 3 also hold class 0" in text


def test_sets_and_images_that_stand_out(make_annotations: Make) -> None:
    votes = torch.arange(12).repeat(40, 1)
    votes[:5] = -1
    found = inspect(make_annotations(votes, 12))
    assert "holds 12.0 of the 12 classes" in about(found, "candidates")
    assert "5 of 40 images have no candidates" in about(found, "images")


def test_noise_stands_out(make_annotations: Make) -> None:
    votes, _ = voted(500, 5, [0.4, 0.4])
    text = about(inspect(make_annotations(votes, 5)), "noise")
    assert "of the labels are estimated to be wrong" in text and "may be wrong" in text and "missing from" in text


def test_quality_by_a_label_model(make_annotations: Make) -> None:
    votes, truth = voted(1000, 4, [0.95, 0.8, 0.6, 0.7])
    found = inspect(make_annotations(votes, 4), label_model="dawid_skene")
    assert found.label_model == "dawid_skene"
    assert torch.allclose(torch.tensor(found.quality), vote_accuracy(votes, truth), atol=0.05)
    with pytest.raises(InputError, match="no label model"):
        inspect(make_annotations(votes, 4), label_model="vote")


def test_further_choices_count_for_sets_alone(make_annotations: Make) -> None:
    votes = torch.tensor([[0, 1, 0], [1, -1, 1], [2, 0, 2]])
    annotations = make_annotations(votes, 3)
    one = annotations.annotators
    second = Annotator(one[0].model, "", one[0].template, choice=2)
    annotations = replace(annotations, annotators=(one[0], second, one[2]))
    found = inspect(annotations)
    assert first_votes(annotations).tolist() == [[0, 0], [1, 1], [2, 2]]
    assert found.annotators == (one[0], one[2]) and found.agreement.tolist() == [[1, 1], [1, 1]]
    assert annotations.candidates.sum().item() == 5


def test_names_near_by_letters() -> None:
    names = ["fire_truck", "FireTrucks", "Eastern Meadowlark", "Western Meadowlark", "cat", "dog", "0", "O"]
    near = near_by_letters(names)
    assert (near[0].first, near[0].second) == (0, 1) and near[0].nearness == pytest.approx(1)
    assert [(pair.first, pair.second) for pair in near[1:]] == [(2, 3)]
    assert near_by_letters(["a", "b"]) == ()


def test_names_near_by_text_is_a_softmax() -> None:
    texts = torch.nn.functional.normalize(torch.tensor([[1.0, 0.0], [1.0, 0.01], [0.0, 1.0]]), dim=1)
    (pair,) = near_by_text(texts, 10.0)
    assert (pair.first, pair.second) == (0, 1) and pair.nearness == pytest.approx(1.0, abs=0.01)
    assert near_by_text(torch.eye(3), 100.0) == ()


@pytest.mark.parametrize(
    ("name", "reason"),
    [("crane", "the bird or the machine"), ("class_7", "code"), ("n02123045", "code"), ("SUV", "abbreviation")],
)
def test_names_that_may_be_misread(name: str, reason: str) -> None:
    assert reason in unclear(name)


def test_names_that_are_plain() -> None:
    assert [unclear(name) for name in ("cat", "7", "A330-200", "gray wolf", "X")] == [""] * 5
    assert words("AnnualCrop") == words("annual_crop") == "annual crop"
    assert "annual crop" in unclear("AnnualCrop")


def test_names_stand_out(make_annotations: Make) -> None:
    annotations = replace(make_annotations(torch.zeros(3, 2).long(), 3), classes=("crane", "fire_truck", "FireTruck"))
    text = about(inspect(annotations), "names")
    assert "By the letters of the names, these names are the same: “fire_truck” and “FireTruck”" in text
    assert "“crane” may be the bird or the machine" in text
    space = TextSpace("some model", torch.nn.functional.normalize(torch.ones(3, 2), dim=1), 1.0)
    assert "By the text encoder of some model" in about(inspect(annotations, text=space), "names")


def test_no_text_space_where_the_model_is_away(make_annotations: Make) -> None:
    annotations = make_annotations(torch.zeros(2, 1).long(), 2)
    for model in ("chat:gpt", "open_clip:ViT-B-32/no_such_weights", "synthetic"):
        assert text_space(replace(annotations, annotators=(Annotator(model, "", "{}"),))) is None


def test_the_estimated_accuracy_of_a_student_holds_the_truth(make_annotations: Make) -> None:
    """A student that corrects some mistakes of its annotators, and the annotators' own best class."""
    torch.manual_seed(0)
    votes, truth = voted(600, 6, [0.9, 0.85, 0.88, 0.8])
    annotations = make_annotations(votes, 6)
    best = annotations.scores.argmax(1)
    student = torch.where(torch.rand(600) < 0.6, truth, best)
    for predicted in (student, best):
        share = estimated_accuracy(predicted, annotations)
        right = float((predicted == truth).float().mean())
        assert share.known and share.low <= right <= share.high and share.low <= share.estimate <= share.high
    own, labels = estimated_accuracy(best, annotations), noise(annotations)[1].complement
    assert (own.estimate, own.low, own.high) == pytest.approx((labels.estimate, labels.low, labels.high))
    assert not estimated_accuracy(student, make_annotations(votes[:, :2], 6)).known
