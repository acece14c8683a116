"""The command, its files, and where else answers go."""

import json
import os

import pandas as pd
import pytest
import torch

from zerolabel.data.answers import CHOSEN, DIFFERING, RANDOM, Answer, head, line, read_answers
from zerolabel.errors import InputError
from zerolabel.review import Review, open_subject

WHEN = "2026-01-02T03:04:05+00:00"


def write(path, rows):
    path.write_text(head() + "".join(line(Answer(name, label, "ben", WHEN, why)) for name, label, why in rows))
    return path


def test_answers_of_the_static_page_are_taken_in_and_all_are_written_out(run, truth, tmp_path, call):
    review = Review(open_subject(run), n=15)
    names = [review.subject.measured.images.file_names[place] for place in review.sampled.first(15)]
    assert call("review", run, "-n", 15, "--static", tmp_path / "page" / "review.html")[0] == 0
    page = (tmp_path / "page" / "review.html").read_text()
    assert page.count("data:image/png;base64,") == 15 and "http:" not in page.replace("http://www.w3.org", "")
    rows = [(name, str(truth(name)), RANDOM) for name in names]
    code, out, err = call("review", run, "-n", 15, "--import", write(tmp_path / "down.csv", rows))
    assert code == 0 and "15 answers; student right" in out and "15 new answers" in err
    assert json.loads((run / "metrics.json").read_text())["review"]["n_answers"] == 15
    for name in ("all.csv", "all.parquet"):
        assert call("review", run, "--export", tmp_path / name)[0] == 0
        assert {one.file_name for one in read_answers(tmp_path / name) or ()} == set(names)
    assert call("report", run)[0] == 0 and "checked by ben" in (run / "report.html").read_text()


def test_corrections_become_labels_of_annotations_and_what_measures_does_not(tmp_path, make_annotations, call):
    from zerolabel.annotations import Annotations

    make_annotations(torch.tensor([[0, 1], [1, 1], [2, 0], [1, 1]]), 3).save(tmp_path / "annotations.parquet")
    rows = [
        ("0.png", "class 2", f"{CHOSEN}: corrected"), ("1.png", "class 0", RANDOM), ("2.png", "class 0", DIFFERING),
        ("3.png", "unsure", f"{CHOSEN}: marked wrong"),
    ]  # fmt: skip
    answers = write(tmp_path / "answers.csv", rows)
    code, _, err = call("candidates", tmp_path, "--few-shot", answers, "-o", tmp_path / "new")
    assert code == 0 and "2 of 4 answers are left out" in err
    assert Annotations.load(tmp_path / "new" / "annotations.parquet").labels.tolist() == [2, -1, -1, -1]


def test_a_comparison_is_reviewed_learner_by_learner(comparison):
    first, other = open_subject(comparison, row="coreg"), open_subject(comparison, row="adapt:ueo")
    assert len(first.measured) == 80 and len(first.learned) == 60 and first.place != other.place
    assert first.learned.names == ("coreg", "annotators")
    assert (first.measured.predicted != other.measured.predicted).any()
    with pytest.raises(InputError, match="give --method one of coreg, adapt:ueo"):
        open_subject(comparison, row="sce")
    os.remove(comparison / "runs" / "coreg-0" / "probabilities.safetensors")
    with pytest.raises(InputError, match="is not finished"):
        open_subject(comparison)


def test_bad_input_is_one_sentence(run, tmp_path, call):
    pd.DataFrame({"file_name": ["060.png", "060.png"], "label": ["1", "2"]}).to_csv(tmp_path / "twice.csv")
    (tmp_path / "other.csv").write_text("file_name,label\na.png,1\n")
    (tmp_path / "sure.csv").write_text("file_name,label\n000.png,unsure\n001.png,cat\n")
    told = {
        ("review", tmp_path / "nothing"): "there is no",
        ("review", tmp_path / "test"): "holds no run",
        ("review", tmp_path / "twice.csv"): "names an image twice",
        ("review", tmp_path / "sure.csv", "--images", tmp_path / "train"): "is called like another answer",
        ("review", run, "--images", tmp_path / "train"): "are not in",
        ("review", run, "--import", tmp_path / "other.csv"): "holds no answers",
        ("review", run, "--import", tmp_path / "gone.csv"): "there are no answers",
        ("review", run, "--port", "99999"): "--port",
    }
    for arguments, sentence in told.items():
        code, _, err = call(*arguments)
        assert code == 2 and sentence in err and "Traceback" not in err, arguments
