from pathlib import Path

import pandas as pd
import pytest

from zerolabel.data.answers import NONE, UNSURE, Answer, consensus, head, latest, line, read_answers, usable
from zerolabel.data.classes import Classes
from zerolabel.data.label_files import Labels
from zerolabel.errors import InputError

WHEN = "2026-01-02T03:04:05+00:00"


def answer(name: str, label: str, who: str = "anna", why: str = "random") -> Answer:
    return Answer(name, label, who, WHEN, why)


def write(path: Path, answers: list[Answer]) -> Path:
    path.write_text(head() + "".join(map(line, answers)))
    return path


def test_what_is_written_is_read(tmp_path):
    odd = [answer("a, b.png", "=cmd()"), answer("-1.png", 'say "cat"', "Bo\nris"), answer("é/1.png", "cat")]
    assert read_answers(write(tmp_path / "answers.csv", odd)) == tuple(odd)
    frame = pd.DataFrame([vars(one) for one in odd]).rename(columns={"why": "why shown"})
    frame.to_parquet(tmp_path / "answers.parquet")
    assert read_answers(tmp_path / "answers.parquet") == tuple(odd)


def test_plain_labels_are_no_answers(tmp_path):
    (tmp_path / "labels.csv").write_text("file_name,label\na.png,cat\n")
    assert read_answers(tmp_path / "labels.csv") is None


def test_a_line_that_was_cut_off_does_not_count_and_a_whole_one_without_line_break_does(tmp_path):
    path = write(tmp_path / "answers.csv", [answer("a.png", "cat"), answer("b.png", "dog")])
    text = path.read_text()
    path.write_text(text + "c.png,do")
    assert read_answers(path) == (answer("a.png", "cat"), answer("b.png", "dog"))
    path.write_text(text[:-1])
    assert len(read_answers(path) or ()) == 2


def test_a_damaged_table_is_a_sentence(tmp_path):
    (tmp_path / "answers.csv").write_text(head() + '"a.png,cat,anna,x,random\n')
    with pytest.raises(InputError, match=r"answers\.csv cannot be read"):
        read_answers(tmp_path / "answers.csv")


def test_the_last_word_of_each_reviewer_counts_and_the_most_win():
    answers = [
        answer("a", "cat"), answer("a", "dog"),
        answer("b", "cat"), answer("b", ""),
        answer("c", "cat"), answer("c", "cat", "ben"), answer("c", "dog", "cleo"),
        answer("d", "cat"), answer("d", "dog", "ben"),
        answer("e", UNSURE), answer("e", "cat", "ben"), answer("e", UNSURE, "cleo"),
    ]  # fmt: skip
    assert consensus(answers) == {"a": "dog", "c": "cat", "d": UNSURE, "e": "cat"}
    assert ("b", "anna") not in latest(answers)


def test_what_measures_does_not_teach_and_what_teaches_does_not_measure(tmp_path):
    answers = [
        answer("a.png", "cat"), answer("b.png", UNSURE), answer("c.png", NONE),
        answer("d.png", "dog", why="chosen: confirmed"), answer("a.png", "dog", why="chosen: corrected"),
        answer("e.png", "dog", why="random where two differ"), answer("f.png", "dog", why="no reason that is known"),
    ]  # fmt: skip
    path = write(tmp_path / "answers.csv", answers)
    with pytest.warns(UserWarning, match=r"3 of 6 answers are left out.*chosen to teach"):
        assert dict(usable(answers, "measure", path)) == {"a.png": "cat", "b.png": "", "c.png": ""}
    with pytest.warns(UserWarning, match=r"5 of 6 answers are left out.*drawn at random to measure"):
        assert dict(usable(answers, "train", path)) == {"d.png": "dog"}
    with pytest.warns(UserWarning):
        taught = Labels.read(path, Classes(("cat", "dog")), use="train")
    with pytest.warns(UserWarning):
        measured = Labels.read(path, Classes(("cat", "dog")))
    names = ["a.png", "b.png", "c.png", "d.png", "e.png", "f.png"]
    assert taught.match(names, [""] * 6).tolist() == [-1, -1, -1, 1, -1, -1]
    assert measured.match(names, [""] * 6).tolist() == [0, -1, -1, -1, -1, -1]
