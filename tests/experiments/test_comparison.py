"""Learners compared on real digits through the command line: once, resumed, and told apart with and without truth."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from zerolabel import cli, experiments
from zerolabel.annotations import Annotations, Annotator
from zerolabel.diagnostics import model_selection
from zerolabel.experiments import runs


@pytest.fixture(scope="module")
def digits(tmp_path_factory, annotated_digits):
    """120 digits to learn, 60 held out, and what glyphs says of each."""
    folder = tmp_path_factory.mktemp("digits")
    for part, rows in (("train", torch.arange(120)), ("test", torch.arange(120, 180))):
        some = annotated_digits.annotations.select(rows)
        some.save(folder / f"{part}.parquet")
        (folder / part).mkdir()
        for name in some.file_names:
            Image.open(annotated_digits.folder / name).save(folder / part / name)
    truth = pd.read_csv(annotated_digits.truth_file, dtype=str)
    truth[truth["file_name"].isin([p.name for p in folder.glob("t*/*.png")])].to_csv(folder / "truth.csv", index=False)
    return folder


def compare(digits, out, *more):
    given = ["compare", digits / "train", digits / "train.parquet", "-o", out, "--methods", "proden,cross_entropy"]
    cli.main([str(part) for part in [*given, "--seeds", 1, "--epochs", 2, "--no-flip", "--json", *more]])


@pytest.fixture
def in_this_process(monkeypatch):
    """Runs one after the other without a process of their own, which takes longer to start than to run."""

    def work(comparison, folder, todo, jobs):
        for place, (name, seed) in enumerate(todo):
            runs.run_one(comparison, folder, name, seed, 1, place)
            yield name, seed

    monkeypatch.setattr(runs, "work", work)


@pytest.fixture(scope="module")
def done(digits, tmp_path_factory):
    out = tmp_path_factory.mktemp("compared") / "out"
    held_out = ["--test", digits / "test", "--test-annotations", digits / "test.parquet"]
    compare(digits, out, *held_out, "--truth", digits / "truth.csv")
    return out


def test_a_row_per_run_and_one_of_the_annotators(done, digits):
    runs = pd.read_parquet(done / "results.parquet")
    assert runs["learner"].tolist() == ["annotator", "proden", "cross_entropy"]
    scores = Annotations.load(digits / "test.parquet").scores
    truth = pd.read_csv(digits / "truth.csv", dtype=str).set_index("file_name")["label"]
    names = Annotations.load(digits / "test.parquet").file_names
    right = np.mean([str(int(row.argmax())) == truth[name] for row, name in zip(scores, names, strict=True)])
    assert runs["accuracy"][0] == pytest.approx(right)
    mine = runs[runs["learner"] == "proden"].iloc[0]
    assert 0 <= mine["accuracy"] <= 1 and mine["seconds"] > 0 and mine["peak_memory"] > 1e7


@pytest.mark.usefixtures("in_this_process")
def test_the_annotators_are_judged_on_held_out_images_too(digits, tmp_path, capsys):
    out, given = tmp_path / "out", ["--methods", "cross_entropy", "--test", digits / "test"]
    compare(digits, out, *given, "--truth", digits / "truth.csv")
    said = json.loads(capsys.readouterr().out)[0]
    scores = Annotations.load(digits / "test.parquet")
    truth = pd.read_csv(digits / "truth.csv", dtype=str).set_index("file_name")["label"]
    right = [str(int(row.argmax())) == truth[name] for row, name in zip(scores.scores, scores.file_names, strict=True)]
    assert said["learner"] == "annotator" and said["accuracy"] == pytest.approx(np.mean(right), abs=0.05)
    row = (out / "comparison.html").read_text().partition(">annotator<")[2].partition("</tr>")[0]
    assert f"{100 * said['accuracy']:.1f}%" in row


@pytest.mark.usefixtures("in_this_process")
def test_votes_of_others_are_not_judged_where_nobody_can_ask_them(digits, tmp_path, capsys):
    said = Annotations.load(digits / "train.parquet")
    people = replace(said, annotators=tuple(Annotator("csv", "", f"{a}") for a in range(len(said.annotators))))
    people.save(tmp_path / "people.parquet")
    given = ["compare", digits / "train", tmp_path / "people.parquet", "-o", tmp_path / "out", "--methods", "gce"]
    more = [
        "--seeds",
        1,
        "--epochs",
        1,
        "--no-flip",
        "--json",
        "--test",
        digits / "test",
        "--truth",
        digits / "truth.csv",
    ]
    cli.main([str(part) for part in [*given, *more]])
    rows = json.loads(capsys.readouterr().out)
    assert rows[0]["accuracy"] is None and 0 <= rows[1]["accuracy"] <= 1


def test_the_page_stands_alone(done):
    page = (done / "comparison.html").read_text()
    mean, worst = 100 * model_selection.REGRETS[model_selection.DEFAULT], 100 * model_selection.WORST
    assert f"zerolabel review {done}" in page
    assert f"{mean:.1f} points below the best one on average and {worst:.1f} at worst" in page
    assert "proden" in page and "Accuracy per class" in page and "http" not in page.split("</style>")[1]


def test_what_was_finished_is_not_done_again_and_truth_may_be_left_out(done, digits, capsys):
    before = {path: path.stat().st_mtime_ns for path in done.glob("runs/*/run.json")}
    (done / "runs" / "proden-0" / "run.json").unlink()
    compare(digits, done, "--test", digits / "test", "--test-annotations", digits / "test.parquet")
    said = capsys.readouterr()
    rows = json.loads(said.out)
    assert "accuracy" not in rows[1] and rows[1]["approximated_accuracy"] > 0
    assert "cross_entropy, seed 0 (done before)" in said.err
    after = {path: path.stat().st_mtime_ns for path in done.glob("runs/*/run.json")}
    assert {path.parent.name for path in after if after[path] == before[path]} == {"cross_entropy-0"}
    assert "No true labels were given" in (done / "comparison.html").read_text()


def test_a_killed_comparison_goes_on_where_it_was(digits, tmp_path, call):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    quiet = {"env": environment, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}

    def command(out):
        given = ["compare", digits / "train", digits / "train.parquet", "-o", out, "--methods", "proden,cross_entropy"]
        more = ["--seeds", 1, "--epochs", 6, "--no-flip", "--test", digits / "test", "--jobs", 1]
        return list(map(str, [*given, *more]))

    assert call(*command(tmp_path / "whole"))[0] == 0
    program = [sys.executable, "-m", "zerolabel", *command(tmp_path / "cut")]
    process = subprocess.Popen(program, start_new_session=True, **quiet)
    begun = tmp_path / "cut" / "runs" / "cross_entropy-0" / "checkpoints" / "train.safetensors"
    while not begun.exists() and process.poll() is None:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    finished = {path: path.stat().st_mtime_ns for path in tmp_path.glob("cut/runs/*/run.json")}
    assert len(finished) == 1 and not (tmp_path / "cut" / "results.parquet").exists()
    assert call(*command(tmp_path / "cut"))[0] == 0
    assert all(path.stat().st_mtime_ns == then for path, then in finished.items())
    for file in sorted(tmp_path.glob("whole/runs/*/probabilities.safetensors")):
        whole, cut = load_file(file), load_file(tmp_path / "cut" / file.relative_to(tmp_path / "whole"))
        assert set(whole) == set(cut) and all(torch.equal(whole[name], cut[name]) for name in whole)


@pytest.mark.usefixtures("in_this_process")
def test_the_strong_view_is_chosen_for_all_learners(digits, tmp_path):
    """Both learners below have strong views, so both see others; the same choice gives the same bits."""
    found = {}
    for name, more in {"default": [], "named": ["--strong", "randaugment"], "cutout": ["--strong", "cutout"]}.items():
        compare(digits, tmp_path / name, "--methods", "cross_entropy,papi", *more)
        files = sorted((tmp_path / name).glob("runs/*/probabilities.safetensors"))
        found[name] = [load_file(file)["train"] for file in files]
    assert all(map(torch.equal, found["default"], found["named"])) and len(found["default"]) == 2
    assert not any(map(torch.equal, found["default"], found["cutout"]))


@pytest.mark.usefixtures("in_this_process")
def test_the_adapted_annotator_is_a_row(digits, tmp_path, capsys):
    out = tmp_path / "out"
    more = ["--methods", "cross_entropy,adapt:ueo", "--set", "adapt:ueo.gamma=0.5", "--test", digits / "test"]
    compare(digits, out, *more, "--truth", digits / "truth.csv")
    rows = {row["learner"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["adapt:ueo"]["accuracy"] > 0.85 and rows["adapt:ueo"]["accuracy"] > rows["cross_entropy"]["accuracy"]
    assert (
        json.loads((out / "runs" / "adapt-ueo-0" / "adapted" / "adapted.json").read_text())["options"]["gamma"] == 0.5
    )
    assert "adapt:ueo" in (out / "comparison.html").read_text()


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--methods", "prodne"], "proden"),
        (["--methods", "adapt:grib"], "did you mean 'grip'"),
        (["--methods", "adapt:coop"], "learns from human labels"),
        (["--set", "elr.beta=0.5"], "elr is not among"),
        (["--test-annotations", "x.parquet"], "--test"),
    ],
)
def test_mistakes_are_told(digits, tmp_path, capsys, more, told):
    with pytest.raises(SystemExit) as ended:
        compare(digits, tmp_path / "out", *more)
    assert ended.value.code == 2 and told in capsys.readouterr().err


def test_a_truth_that_judges_no_image_is_told_before_anything_is_trained(digits, tmp_path, capsys):
    truth, file = pd.read_csv(digits / "truth.csv", dtype=str), tmp_path / "truth.csv"
    truth = truth[truth["file_name"].map(lambda name: (digits / "train" / name).exists())]
    cases = ((truth.assign(label=""), [], "of none of the images"), (truth, ["--test", digits / "test"], "held-out"))
    for table, more, told in cases:
        table.to_csv(file, index=False)
        with pytest.raises(SystemExit):
            compare(digits, tmp_path / "out", "--truth", file, *more)
        assert told in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_other_options_in_the_same_folder_are_refused(done, digits, capsys):
    with pytest.raises(SystemExit):
        compare(digits, done, "--test", digits / "test", "--set", "lr=0.2")
    assert "other options" in capsys.readouterr().err


def test_summary_is_mean_and_deviation_with_the_annotators_last():
    runs = pd.DataFrame(
        {
            "learner": ["annotator", "a", "a", "b"],
            "seed": [0, 0, 1, 0],
            "approximated_accuracy": [0.99, 0.4, 0.6, 0.8],
            "alarms": ["", "", "", ""],
        }
    )
    means = experiments.summary(runs)
    assert means.index.tolist() == ["b", "a", "annotator"]
    assert means.loc["a", "approximated_accuracy"] == pytest.approx(0.5)
    assert means.loc["a", "approximated_accuracy spread"] == pytest.approx(np.std([0.4, 0.6], ddof=1))
