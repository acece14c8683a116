import json
import threading
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from zerolabel.annotations import Annotations, Annotator
from zerolabel.audit import count, interval
from zerolabel.cli import tables
from zerolabel.data.answers import Answer, read_answers, usable
from zerolabel.errors import InputError
from zerolabel.review import Review, finish, open_subject, remember, sampling
from zerolabel.review.ledger import Ledger, now
from zerolabel.review.sampling import Sample


def answer_all(review, truth, reviewer="anna"):
    names = review.subject.measured.images.file_names
    for place in review.queue("measure")["items"]:
        review.answer("measure", place, truth(names[place]), reviewer)


def test_a_run_is_measured_on_its_held_out_images(run, truth):
    review = Review(open_subject(run), n=40)
    assert review.measured is None and review.remaining == 40
    answer_all(review, truth)
    names, found = review.subject.measured.images.file_names, review.measured
    drawn = [int(names[place][:3]) for place in review.queue("measure")["items"]]
    right = sum(i % 7 != 0 for i in drawn)
    assert found is not None and review.remaining == 0
    assert (found.n_answers, found.n_right, found.n_images, found.images) == (40, right, 80, "held-out images")
    assert found.low < found.accuracy < found.high and found.design == sampling.FIXED


def test_unsure_counts_both_ways_and_none_of_the_classes_is_wrong(run):
    review = Review(open_subject(run), n=4)
    a, b, c, d = review.queue("measure")["items"]
    predicted = review.subject.measured.predicted
    review.answer("measure", a, int(predicted[a]), "anna")
    review.answer("measure", b, "unsure", "anna")
    review.answer("measure", c, "none", "anna")
    found = review.measured
    assert (found.n_right, found.n_unsure, found.n_none) == (1, 1, 1) and 0.4 < found.accuracy < 0.6
    assert (found.low, found.high, found.design) == (0, 1, sampling.LOOKED)
    review.answer("measure", d, int(predicted[d]), "anna")
    found = review.measured
    assert found.design == sampling.FIXED and 0 < found.low < 0.5 < found.high < 1
    strata, drawn = review.sampled.strata, review.sampled.order[:4]
    ends = [interval(count(strata, drawn, np.array(right, bool))) for right in ([1, 0, 0, 1], [1, 1, 0, 1])]
    assert (found.low, found.high) == (ends[0].low, ends[1].high)
    review.answer("measure", c, "", "anna")
    assert (review.measured.n_answers, review.measured.n_none) == (2, 0)
    with pytest.raises(ValueError, match="no such answer"):
        review.answer("measure", d, 10, "anna")
    with pytest.raises(ValueError, match="not asked about"):
        review.answer("measure", next(i for i in range(80) if i not in (a, b, c, d)), 1, "anna")


def test_a_review_resumes_and_a_larger_sample_continues_a_smaller_one(run, truth):
    first = Review(open_subject(run), n=10)
    answer_all(first, truth)
    assert first.measured.design == sampling.FIXED
    again = Review(open_subject(run), n=30)
    assert again.measured == first.measured and again.remaining == 20
    assert again.queue("measure")["items"][:10] == first.queue("measure")["items"]
    answer_all(again, truth)
    assert (again.measured.n_answers, again.measured.design) == (30, sampling.LOOKED)
    mine, other = (again.queue("measure", turn, 2)["items"] for turn in (0, 1))
    assert sorted(mine) == sorted(other) and mine[:15] == other[15:] and mine[0] != other[0]


def test_the_order_is_random_within_strata_and_leaves_out_what_was_taught(run):
    pool = replace(open_subject(run).measured, strata=None)
    first = Sample.of(pool, 0)
    assert sorted(first.first(80)) == list(range(80)) and first.first(80) != list(range(80))
    assert first.first(80) != Sample.of(pool, 1).first(80)
    pool.taught[first.first(3)] = True
    assert set(Sample.of(pool, 0).first(77)) == set(range(80)) - set(first.first(3))
    pool.taught[:] = True
    with pytest.raises(InputError, match="none is left"):
        Sample.of(pool, 0)


def test_answers_count_up_to_the_first_that_is_missing(run):
    review = Review(open_subject(run), n=20)
    items = review.queue("measure")["items"]
    for place in (*items[:4], *items[5:9]):
        review.answer("measure", place, int(review.subject.measured.predicted[place]), "anna")
    assert (review.measured.n_answers, review.progress()["done"]) == (4, 8)
    review.answer("measure", items[4], "none", "anna")
    assert review.measured.n_answers == 9


def test_a_classifier_that_was_trained_again_is_planned_anew(run, truth):
    first = Review(open_subject(run), n=10)
    answer_all(first, truth)
    frame = pd.read_parquet(run / "predictions.parquet")
    frame["student"] = frame["zero_shot"]
    frame.to_parquet(run / "predictions.parquet")
    again = Review(open_subject(run), n=40)
    kept = again.measured
    assert kept is not None and kept.n_answers <= 10
    answer_all(again, truth)
    assert (again.measured.n_answers, again.measured.design) == (40, sampling.FIXED)


def test_the_grid_confirms_and_corrects_and_never_shows_what_measures(run_without_test, truth):
    review = Review(open_subject(run_without_test), n=20)
    names = review.subject.learned.images.file_names
    page = review.grid(3)
    assert page["items"] and not set(page["items"]) & review.sample
    wrong = [place for place in page["items"] if truth(names[place]) != 3]
    review.mark(3, page["items"], wrong, "anna")
    assert review.grid(3)["items"] == []
    again = Review(open_subject(run_without_test), n=20)
    queue = again.queue("correct")
    assert queue["items"] == wrong and all(queue["shown"][place]["predicted"] == 3 for place in wrong)
    for place in wrong:
        again.answer("correct", place, truth(names[place]), "anna")
    assert again.queue("correct")["items"] == [] and again.measured is None
    answers = read_answers(again.ledger.path)
    taught = dict(usable(answers, "train", again.ledger.path))
    assert {name: int(label) for name, label in taught.items()} == {
        names[place]: truth(names[place]) for place in page["items"]
    }
    with pytest.raises(ValueError, match="not on the page"):
        review.mark(3, [next(iter(review.sample))], [], "anna")


def test_student_and_zero_shot_are_compared_where_they_differ(run, truth):
    review = Review(open_subject(run), n=20)
    names, pool = review.subject.measured.images.file_names, review.subject.measured
    items = review.queue("compare")["items"]
    assert items and all(pool.predicted[place] != pool.compared[place] for place in items)
    assert review.verdict.better is None and review.verdict.answers == 0
    told, done = review.progress(), 0
    while not told["verdict"]["better"]:
        told = review.answer("compare", items[done], truth(names[items[done]]), "anna")
        done += 1
    assert (told["verdict"]["better"], told["verdict"]["answers"]) == ("first", done) and done < len(items)
    assert review.measured is None
    assert "student is better" in finish(review)
    found = json.loads((run / "metrics.json").read_text())
    assert found["review_verdict"]["pair"] == ["student", "zero-shot"] and "review" not in found
    assert "student is better (error at most 5%)" in (run / "report.html").read_text()
    assert "student is better (error at most 5%)" in (run / "README.md").read_text()
    again = Review(open_subject(run), n=20)
    assert set(again.queue("measure")["answers"]) == review.sample & set(items[:done])
    assert again.verdict == review.verdict
    answer_all(again, truth)
    assert (again.measured.n_answers, again.measured.design) == (20, sampling.FIXED)
    assert Review(open_subject(run)).measured == again.measured


def test_an_image_that_is_taken_back_is_to_be_named_again(run_without_test):
    review = Review(open_subject(run_without_test), n=5)
    items = review.grid(1)["items"]
    review.mark(1, items, items[:1], "anna")
    review.answer("correct", items[0], 2, "anna")
    review.answer("correct", items[0], "", "anna")
    assert review.queue("correct")["items"] == items[:1]


def test_reviewers_write_one_file_at_a_time_and_merge(run, tmp_path):
    review = Review(open_subject(run), n=60)
    items = review.queue("measure")["items"]

    def answer(who):
        for place in items:
            review.answer("measure", place, int(review.subject.measured.predicted[place]), who)

    threads = [threading.Thread(target=answer, args=(who,)) for who in ("anna", "ben", "cleo")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = review.ledger.path.read_text().splitlines()
    assert len(lines) == 181 and all(line.count(",") == 4 for line in lines)
    assert review.measured.reviewers == ("anna", "ben", "cleo") and review.measured.n_right == 60
    copy = tmp_path / "other.csv"
    copy.write_bytes(review.ledger.path.read_bytes())
    assert review.ledger.take_in(copy) == 0
    copy.write_text(copy.read_text().replace("cleo", "dan"))
    assert review.ledger.take_in(copy) == 60


def test_what_a_killed_process_cut_off_does_not_spoil_the_next_line(tmp_path):
    path = tmp_path / "answers.csv"
    path.write_text("file_name,label,reviewer,time,why shown\na.png,cat,anna,2026,random\nb.png,c")
    ledger = Ledger(path)
    assert [one.file_name for one in ledger.answers] == ["a.png"]
    ledger.add([Answer("c.png", "dog", "anna", now(), "random")])
    assert [one.file_name for one in Ledger(path).answers if one.why == "random"] == ["a.png", "c.png"]


def main_table_says(review, run):
    from rich.console import Console

    metrics = {
        "n_images": 1, "n_skipped": 0, "mean_candidates": 1.0, "student_parameters": 1, "student_agreement": None,
        "onnx": {"agreement": 1, "n_checked": 1, "max_difference": 0}, "seconds": {},
    }  # fmt: skip
    console = Console(record=True, width=300)
    console.print(tables.outcome(metrics, run))
    console.print(tables.outcome({**metrics, "review": review}, run))
    text = console.export_text()
    return f"check 50 images: zerolabel review {run}" in text and "by 25 answers of a review" in text


def test_what_was_measured_reaches_the_run_and_stays(run, truth):
    review = Review(open_subject(run), n=25)
    assert "Nothing was measured" in finish(review)
    assert "review" not in json.loads((run / "metrics.json").read_text())
    answer_all(review, truth)
    assert "25 answers" in finish(review)
    found = json.loads((run / "metrics.json").read_text())["review"]
    assert (found["n_answers"], found["design"], found["reviewers"]) == (25, review.measured.design, ["anna"])
    (run / "metrics.json").write_text(json.dumps({"deployed": "zero-shot"}))
    other = remember(run)["review"]
    assert other["n_right"] < found["n_right"]
    assert json.loads((run / "metrics.json").read_text())["review"] == other
    assert main_table_says(other, run) and remember(run.parent) == {}


def test_a_table_of_predictions_and_one_of_annotations(run, tmp_path):
    frame = pd.read_parquet(run / "predictions.parquet").query("set == 'test'")
    frame.rename(columns={"student": "label"})[["file_name", "label"]].to_csv(tmp_path / "said.csv", index=False)
    subject = open_subject(tmp_path / "said.csv", images=str(tmp_path / "test"))
    assert subject.classes == tuple("0123456789") and len(subject.measured) == 80 and subject.run is None
    assert subject.place == tmp_path / "said.review"
    with pytest.raises(InputError, match="are not in"):
        open_subject(tmp_path / "said.csv", images=str(tmp_path / "train"))
    (tmp_path / "away.csv").write_text("file_name,label\n../run/metrics.json,1\n000.png,2\n")
    with pytest.raises(InputError, match="are not in"):
        open_subject(tmp_path / "away.csv", images=str(tmp_path / "train"))


def test_annotations_name_their_images_or_images_are_asked_for(run, tmp_path, make_annotations):
    votes = torch.tensor([[0, 1], [1, 1], [2, 0]])
    annotations = make_annotations(votes, 3)
    names = ("000.png", "001.png", "002.png")
    annotations = replace(annotations, file_names=names).with_labels(torch.tensor([-1, 1, -1]))
    assert isinstance(annotations, Annotations) and isinstance(annotations.annotators[0], Annotator)
    (tmp_path / "made").mkdir()
    annotations.save(tmp_path / "made" / "annotations.parquet")
    with pytest.raises(InputError, match="--images"):
        open_subject(tmp_path / "made")
    subject = open_subject(tmp_path / "made", images=str(tmp_path / "train"))
    assert subject.measured.taught.tolist() == [False, True, False]
    assert Review(subject).n == 2
    with pytest.raises(InputError, match="there is no"):
        open_subject(tmp_path / "nothing")
    with pytest.raises(InputError, match="holds no run"):
        open_subject(tmp_path / "train")


def test_ten_thousand_images_and_a_thousand_classes_are_asked_without_reading_one(tmp_path):
    from zerolabel.data.images import ImageSet
    from zerolabel.review import Pool, Subject

    n = 10_000
    images = ImageSet(tmp_path, tuple(f"{i}.png" for i in range(n)))
    predicted = np.arange(n) % 1000
    pool = Pool("images", images, predicted, np.linspace(0, 1, n), None, None, np.zeros(n, bool))
    classes = tuple(f"class {i}" for i in range(1000))
    review = Review(Subject(tmp_path, tmp_path / "review", "", classes, pool, pool, None), n=50)
    for place in review.queue("measure")["items"]:
        assert review.answer("measure", place, int(predicted[place]), "anna")["right"]
    assert review.measured.n_right == 50 and len(review.grid(999)["items"]) <= 10
