"""The questions beside the accuracy: which learner is best, what to label, what is guaranteed, what is unknown."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from zerolabel.data.answers import BY_HAND, LOW, PLAIN, RANDOM, RIVALS, TAUGHT, read_answers, usable
from zerolabel.errors import InputError
from zerolabel.review import Review, finish, open_subject
from zerolabel.review.answering import answer_from, read_labels
from zerolabel.review.finished_labels import finished_labels


@pytest.fixture
def one_good(comparison, truth):
    """The comparison, whose second learner is nearly always right on the held-out images."""
    true = torch.tensor([truth(f"{i:03}") for i in range(60, 140)])
    p = {"train": torch.rand(60, 10).softmax(1), "test": torch.nn.functional.one_hot(true, 10) * 0.8 + 0.02}
    p["test"][:8] = p["test"][:8].roll(1, 1)
    save_file(p, comparison / "runs" / "adapt-ueo-0" / "probabilities.safetensors")
    return comparison


def test_answers_choose_the_best_of_several_learners_where_they_differ(one_good, truth_file):
    review = Review(open_subject(one_good), n=20)
    question = review.questions["choose"]
    assert review.first == "choose" and question.n == 20 and review.pool("choose") is review.subject.measured
    told = answer_from(read_labels(truth_file, review), review, ["choose"])
    assert told == {"choose": 20} and review.following("choose") is None
    found = review.findings()["choice"]
    assert found["learner"] == "adapt:ueo" and found["order"] == ["adapt:ueo", "coreg"] and found["n_answers"] == 20
    assert {answer.why for answer in review.ledger.answers} == {RIVALS}
    assert "adapt:ueo is put first by 20 answers" in finish(review)
    assert json.loads((one_good / "choice.json").read_text())["learner"] == "adapt:ueo"
    assert review.measured is None  # such answers measure nothing
    again = Review(open_subject(one_good), n=20)
    assert again.queue("choose")["items"] == review.queue("choose")["items"]
    assert "adapt:ueo is best" in again.queue("choose")["standing"]["result"]


def test_a_guarantee_asks_for_the_doubtful_images_and_its_finished_labels_say_so(run_without_test, truth_file, truth):
    with pytest.raises(InputError, match="takes at least"):
        Review(open_subject(run_without_test), n=5, max_error=0.1)
    review = Review(open_subject(run_without_test), n=30, max_error=0.2)
    with pytest.raises(InputError, match="0 of 30 drawn images checked"):
        finished_labels(review)
    answer_from(read_labels(truth_file, review), review, ["guarantee"])
    found = review.findings()["guarantee"]
    whys = [answer.why for answer in review.ledger.answers]
    assert whys[:30] == [PLAIN] * 30 and set(whys[30:]) <= {BY_HAND} and found["n_answers"] == len(whys)
    table = finished_labels(review)
    names = review.subject.learned.images.file_names
    assert list(table["file_name"]) == list(names) and (table["labeled by"] == "person").sum() == len(whys)
    wrong = np.mean([int(label) != truth(name) for name, label in zip(names, table["label"], strict=True)])
    assert wrong <= found["bound"] <= 0.2 and "at most" in table["guarantee"][0]
    assert table["inclusion probability"].dropna().unique().tolist() == [0.5]
    told = finish(review)
    assert "of the labels are wrong with 95% probability" in told
    assert json.loads((run_without_test / "metrics.json").read_text())["review_guarantee"] == found


def test_unsure_answers_weaken_a_guarantee(run_without_test, truth):
    review = Review(open_subject(run_without_test), n=30, max_error=0.2)
    place = review.following("guarantee")
    review.answer("guarantee", place, "unsure", "anna")
    while (place := review.following("guarantee")) is not None:
        name = review.subject.learned.images.file_names[place]
        review.answer("guarantee", place, truth(name), "anna")
    found = review.findings()["guarantee"]
    assert found["n_unsure"] == 1 and found["bound"] >= 1 / 60
    assert "perhaps wrong beyond that: 1." in review.queue("guarantee")["standing"]["meaning"]


def test_images_that_teach_are_doubtful_and_never_those_that_measure(run_without_test, truth_file, tmp_path):
    review = Review(open_subject(run_without_test), n=10)
    batch = review.queue("teach")["items"]
    assert len(batch) == 10 and not set(batch) & review.sample
    answer_from(read_labels(truth_file, review), review, ["teach"])
    agreed = review.subject.learned.agreed
    assert agreed[batch].mean() < agreed.mean()
    answers = read_answers(review.ledger.path) or ()
    assert {answer.why for answer in answers} == {TAUGHT} and len(usable(answers, "train", review.ledger.path)) == 10
    more = Review(open_subject(run_without_test), n=12)
    assert more.queue("teach")["items"][:10] == batch and len(more.queue("teach")["items"]) == 12
    assert more.queue("teach")["standing"]["done"] == 10


def test_a_batch_begun_goes_on_as_it_was_planned(run_without_test, truth):
    review = Review(open_subject(run_without_test), n=10)
    batch, names = review.queue("teach")["items"], review.subject.learned.images.file_names
    for place in batch[:4]:
        review.answer("teach", place, truth(names[place]), "anna")
    assert Review(open_subject(run_without_test), n=10).queue("teach")["items"] == batch


def test_low_scores_are_looked_at_for_unknown_classes(run, truth):
    review = Review(open_subject(run), n=30)
    names, pool = review.subject.measured.images.file_names, review.pool("unknown")
    low = pool.confidence < np.quantile(pool.confidence, 0.2)
    while (place := review.following("unknown")) is not None:
        review.answer("unknown", place, "none" if low[place] else truth(names[place]), "anna")
    found = review.findings()["unknown"]
    assert found["n_answers"] == 30 and found["threshold"] == pytest.approx(pool.confidence[~low].min())
    assert found["share"] == pytest.approx(0.2, abs=0.1) and found["error"]["low"] == 0
    assert {answer.why for answer in review.ledger.answers} == {LOW}
    assert review.queue("unknown")["standing"]["result"].startswith("Unknown below")
    assert not usable(review.ledger.answers, "train", review.ledger.path)


def test_answers_drawn_for_one_question_serve_the_accuracy(run, truth):
    review = Review(open_subject(run), n=80)
    names = review.subject.measured.images.file_names
    while (place := review.following("unknown")) is not None:
        review.answer("unknown", place, truth(names[place]), "anna")
    assert review.measured is None  # nobody asked yet to measure
    place = review.following("measure")
    assert place is None and review.remaining == 0


def test_the_command_answers_from_a_file(run_without_test, truth_file, tmp_path, call):
    code, out, err = call("review", run_without_test, "-n", 30, "--answers", truth_file, "--max-error", "20%")
    assert code == 0 and "measure: 30 answers" in err and "95% interval" in out and "labels are wrong" in out
    code, _, _ = call("review", run_without_test, "-n", 30, "--max-error", 0.2, "--export", tmp_path / "labels.csv")
    assert code == 0 and "at most" in pd.read_csv(tmp_path / "labels.csv")["guarantee"][0]
    whys = {answer.why for answer in read_answers(run_without_test / "review" / "answers.csv") or ()}
    assert {RANDOM, PLAIN} <= whys <= {RANDOM, PLAIN, BY_HAND}


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--max-error", "5"], "is no share"),
        (["--max-error", "x"], "is no share"),
        (["--answers", "nothing.csv"], "there are no answers"),
        (["--answers", "TRUTH", "--question", "choose"], "give one of measure, compare, teach, unknown"),
    ],
)
def test_mistakes_are_named(run, truth_file, call, more, told):
    given = [truth_file if text == "TRUTH" else text for text in more]
    code, _, err = call("review", run, *given)
    assert code == 2 and told in err


def test_a_file_that_lacks_an_image_ends_the_questions_there(run, truth_file, call, tmp_path):
    review = Review(open_subject(run), n=10)
    third = review.subject.measured.images.file_names[review.sampled.first(3)[2]]
    rows = [line for line in truth_file.read_text().splitlines() if third not in line]
    (tmp_path / "some.csv").write_text("\n".join(rows))
    code, _, err = call("review", run, "-n", 10, "--answers", tmp_path / "some.csv")
    assert code == 0 and f"measure: 2 answers; {tmp_path / 'some.csv'} has no label of {third}" in err.replace("\n", "")
