"""The main job through the command line, on real handwritten digits: run once, then used, killed, resumed, starved."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny_clip
import torch
from huggingface_hub import constants
from PIL import Image
from sklearn.datasets import load_digits

from zerolabel.deployment.classifier import Classifier
from zerolabel.runs.stages import deployment

N_TRAIN, N_TEST = 200, 60
CLASSES = ["--classes", "0,1,2,3,4,5,6,7,8,9"]


@pytest.fixture(scope="session")
def digits(tmp_path_factory):
    """200 digits of which 2 are damaged, 60 held-out ones, and their truth as a CSV and as class folders."""
    root = tmp_path_factory.mktemp("digits")
    data = load_digits()
    rows = {"train": [], "test": []}
    for i in range(N_TRAIN + N_TEST):
        part = "train" if i < N_TRAIN else "test"
        label = data.target[i]
        picture = Image.fromarray((data.images[i] * 15.9).astype(np.uint8))
        for path in (root / part / f"{i}.png", root / "folders" / part / str(label) / f"{i}.png"):
            path.parent.mkdir(parents=True, exist_ok=True)
            picture.save(path)
        rows[part].append((f"{i}.png", label))
    for part, rows_of_part in {**rows, "truth": rows["train"] + rows["test"]}.items():
        with (root / f"{part}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("file_name", "label"), *rows_of_part])
    for name in ("0.png", "1.png"):
        (root / "train" / name).write_bytes(b"torn")
    return root


def job(digits, out, cache, *more):
    """The arguments of the job that most tests share."""
    held_out = ["--test", digits / "test", "--truth", digits / "truth.csv"]
    settings = ["--vlm", "glyphs", "--student", "light", "--epochs", 4, "--cache", cache, "--seed", 3]
    return [str(part) for part in ["run", digits / "train", *CLASSES, "-o", out, *held_out, *settings, *more]]


def start(arguments):
    """The command as its user starts it, in a process of its own."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "zerolabel", *arguments]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    )


def kill_at(process, words, also=lambda: True):
    """Kill -9 as soon as a line of standard error starts with the words, and something else holds."""
    assert any(line.startswith(words) for line in process.stderr)
    while not also() and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


@pytest.fixture(scope="session")
def done(digits, tmp_path_factory):
    """A finished run: its folder, and what it printed as JSON."""
    out = tmp_path_factory.mktemp("runs") / "done"
    process = start(job(digits, out, out.parent / "cache", "--json"))
    printed, said = process.communicate()
    assert process.returncode == 0, said
    return out, json.loads(printed), said


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def deployed_accuracy(metrics):
    """Of what is in ``classifier/``: four epochs make a student that alarms may call worse than zero-shot."""
    return metrics["zero_shot_accuracy" if metrics["deployed"] == "zero-shot" else "student_accuracy"]


def untimed(metrics):
    timed = ("seconds", "images_per_second", "time", "latency")
    return {name: value for name, value in metrics.items() if name not in timed}


def read(path):
    return json.loads(Path(path).read_text(encoding="utf-8"))


def test_a_run_leaves_all_its_files_and_numbers(done):
    out, metrics, _ = done
    assert metrics == read(out / "metrics.json")
    assert (metrics["n_images"], metrics["n_skipped"], metrics["n_classes"]) == (N_TRAIN - 2, 2, 10)
    assert metrics["n_evaluated"] == N_TEST
    assert set(metrics["student_per_class"]) == set("0123456789")
    order = [row["before"] for row in read(out / "evaluation.json")["class_gains"]["classes"]]
    assert order == sorted(order) and len(order) == 10
    assert len(metrics["zero_shot_accuracy_per_template"]) == len(read(out / "config.json")["templates"][0])
    assert metrics["zero_shot_accuracy"] > 0.5
    assert 0 <= metrics["student_accuracy"] <= 1 <= metrics["mean_candidates"]
    assert 0 < metrics["candidate_coverage"] <= 1
    assert {"annotate", "train", "evaluate", "export"} <= set(metrics["seconds"])
    assert {one["model"] for one in metrics["latency"]["figures"]} == {"classifier", "glyphs"}
    assert (metrics["latency"]["height"], metrics["latency"]["width"]) == (8, 8)
    assert metrics["images_per_second"] > 0
    assert metrics["student_parameters"] < metrics["vlm_parameters"]
    assert metrics["onnx"]["agreement"] == 1
    assert metrics["onnx"]["max_difference"] < 1e-4
    assert {path.name for path in out.iterdir()} == {
        *("README.md", "annotations.parquet", "checkpoints", "classes.json", "classifier", "classifier.onnx"),
        "config.json",
        *("evaluation.json", "log.jsonl", "metrics.json", "predict.py", "predictions.parquet", "report.html"),
        *("skipped.csv", "stages.json", "test_annotations.parquet"),
        *(("student",) if metrics["deployed"] == "zero-shot" else ()),
    }
    assert [line["epoch"] for line in map(json.loads, (out / "log.jsonl").read_text().splitlines())] == [0, 1, 2, 3]
    assert [row["file_name"] for row in csv.DictReader((out / "skipped.csv").open())] == ["0.png", "1.png"]


def test_without_a_terminal_progress_is_plain_lines(done):
    lines = done[2].splitlines()
    assert any(line.startswith("annotate: 100%") and "2 unreadable" in line for line in lines)
    assert any(line.startswith("train: 100%") and "images/s" in line for line in lines)
    assert "\x1b" not in done[2]


def test_resuming_a_finished_run_changes_no_number(done, digits, call):
    out, metrics, _ = done
    code, printed, _ = call(*job(digits, out, out.parent / "cache", "--resume", "--json"))
    assert code == 0
    again = json.loads(printed)
    assert untimed(again) == untimed(metrics)
    assert again["seconds"] == metrics["seconds"]


def test_the_truth_may_come_later_but_nothing_else_may_change(done, digits, call, tmp_path, monkeypatch):
    out, metrics, _ = done
    monkeypatch.setattr(deployment, "export_classifier", lambda *_: {"onnx": metrics["onnx"]})
    copy = shutil.copytree(out, tmp_path / "copy")
    command = job(digits, copy, out.parent / "cache", "--resume", "--json")
    place = command.index("--truth")
    code, printed, _ = call(*command[:place], *command[place + 2 :])
    assert code == 0
    assert "student_accuracy" not in json.loads(printed)
    assert json.loads(call(*command)[1])["student_accuracy"] == metrics["student_accuracy"]
    code, _, said = call(*command, "--set", "ramp=3")
    assert (code, "another --set ramp;" in said) == (2, True)


def test_overwriting_removes_what_is_the_runs_alone(done, digits, call, tmp_path, monkeypatch):
    copy = shutil.copytree(done[0], tmp_path / "copy")
    (copy / "mine.txt").write_text("notes")
    code, _, _ = call("annotate", digits / "test", *CLASSES, "-o", copy, "--vlm", "glyphs", "--overwrite")
    assert code == 0
    assert {path.name for path in copy.iterdir()} == {
        *("mine.txt", "config.json", "stages.json", "annotations.parquet", "skipped.csv")
    }


def test_a_run_killed_in_both_stages_ends_with_the_same_numbers(done, digits, call, tmp_path, monkeypatch):
    monkeypatch.setattr(deployment, "export_classifier", lambda *_: {"onnx": done[1]["onnx"]})
    out, log = tmp_path / "out", tmp_path / "out" / "log.jsonl"
    command = job(digits, out, tmp_path / "cache", "--json")
    kill_at(start(command), "annotate:")
    assert not (out / "checkpoints").exists()
    kill_at(start([*command, "--resume"]), "train:", lambda: log.is_file() and len(log.read_text().splitlines()) > 1)
    assert not (out / "classifier").exists()
    code, printed, _ = call(*command, "--resume")
    assert code == 0
    assert untimed(json.loads(printed)) == untimed(done[1])
    assert [line["epoch"] for line in map(json.loads, log.read_text().splitlines())] == [0, 1, 2, 3]
    first, second = (Classifier.load(folder / "classifier").networks[0] for folder in (out, done[0]))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_damaged_classifier_is_told(done, digits, call, tmp_path, name):
    folder = shutil.copytree(done[0] / "classifier", tmp_path / "classifier")
    (folder / name).write_bytes((folder / name).read_bytes()[:-30])
    code, _, said = call("predict", folder, digits / "test")
    assert (code, said.count("\n"), "is damaged" in said) == (2, 1, True)


@pytest.mark.parametrize("name", ["checkpoints/train.safetensors", "annotations.parquet", "stages.json", "log.jsonl"])
def test_damaged_files_of_a_run_are_told_or_made_again(done, digits, call, tmp_path, monkeypatch, name):
    out, metrics, _ = done
    monkeypatch.setattr(deployment, "export_classifier", lambda *_: {"onnx": metrics["onnx"]})
    copy = shutil.copytree(out, tmp_path / "copy")
    (copy / name).write_bytes(b"{torn")
    code, printed, said = call(*job(digits, copy, out.parent / "cache", "--resume", "--json"))
    if name == "annotations.parquet":
        assert (code, untimed(json.loads(printed))) == (0, untimed(metrics))
        return
    told = [line for line in said.splitlines() if line.startswith("error: ")]
    assert (code, len(told)) == (2, 1)
    assert f"{copy / name} is damaged" in told[0]
    assert (copy / "metrics.json").is_file()


# --- what is done with a finished run


def test_predict_writes_csv_parquet_and_standard_output(done, digits, call, tmp_path):
    out, metrics, _ = done
    code, printed, _ = call("predict", out, digits / "test")
    assert code == 0
    rows = list(csv.DictReader(printed.splitlines()))
    assert len(rows) == N_TEST
    assert call("predict", out / "classifier", digits / "test", "-o", tmp_path / "new" / "p.parquet")[0] == 0
    table = pd.read_parquet(tmp_path / "new" / "p.parquet")
    assert table["label"].tolist() == [row["label"] for row in rows]
    assert table["confidence"].tolist() == pytest.approx([float(row["confidence"]) for row in rows], abs=1e-5)
    truth = dict(csv.reader((digits / "test.csv").open()))
    right = [truth[name] == label for name, label in zip(table["file_name"], table["label"], strict=True)]
    assert np.mean(right) == pytest.approx(deployed_accuracy(metrics))


def test_predict_abstains_below_a_threshold_and_where_there_is_no_image(done, digits, call, tmp_path):
    path = tmp_path / "p.csv"
    code, _, said = call("predict", done[0], digits / "train", "-o", path, "--threshold", 0.7)
    table = pd.read_csv(path, dtype=str)
    assert code == 0
    assert "note: 2 of 200 images cannot be read, first 0.png" in said
    assert table["label"].isna().tolist() == [not float(c) >= 0.7 for c in table["confidence"].fillna("nan")]
    assert call("predict", done[0], digits / "train", "-o", path, "--abstain")[0] == 0
    limit = Classifier.load(done[0] / "classifier").threshold
    table = pd.read_csv(path, dtype=str)
    assert table["label"].isna().sum() == 2 + (table["confidence"].astype(float) < limit).sum() > 2


@pytest.mark.parametrize("truth", ["test.csv", "folders/test"])
def test_evaluate_agrees_with_the_run(done, digits, call, truth):
    code, printed, _ = call("evaluate", done[0], digits / "test", "--truth", digits / truth, "--json")
    assert code == 0
    assert json.loads(printed)["accuracy"] == pytest.approx(deployed_accuracy(done[1]))
    code, printed, _ = call("evaluate", done[0], digits / "test", "--truth", digits / truth)
    assert (code, "accuracy" in printed) == (0, True)


def test_export_and_report_again(done, digits, call, tmp_path):
    code, printed, _ = call("export", done[0], "-o", tmp_path / "c.onnx", "--images", digits / "test", "--json")
    assert code == 0
    assert json.loads(printed)["n_checked"] == N_TEST
    assert (tmp_path / "c.onnx").stat().st_size == json.loads(printed)["n_bytes"]
    copy = shutil.copytree(done[0], tmp_path / "copy")
    for name in ("report.html", "README.md"):
        (copy / name).unlink()
    code, printed, _ = call("report", copy)
    assert (code, printed.split()) == (0, [str(copy / "report.html"), str(copy / "README.md")])
    assert "<html" in (copy / "report.html").read_text(encoding="utf-8")


# --- students, and annotations that are there already

STUDENTS = {
    "few images": [],
    "spread": ["--student", "light", "--propagate"],
    "linear": ["--student", "linear", "--deploy", "both"],
    "features": ["--student", "features", "--method", "cross_entropy"],
    "via": ["--via", "features", "--set", "prior=estimated"],
    "timm": ["--student", "resnet10t", "--size", 32, "--epochs", 1, "--method", "cross_entropy"],
}


@pytest.mark.parametrize("name", STUDENTS)
def test_every_kind_of_student_trains_on_given_annotations(done, digits, call, tmp_path, monkeypatch, name):
    checked = {"max_difference": 0.0, "agreement": 1.0, "n_checked": 0}
    monkeypatch.setattr(deployment, "export_classifier", lambda *_: {"onnx": checked})
    given = ["train", digits / "train", done[0] / "annotations.parquet", "--epochs", 2]
    files = ["--cache", done[0].parent / "cache", "--truth", digits / "train.csv", "-o", tmp_path / "out"]
    code, printed, said = call(*given, *files, *STUDENTS[name])
    assert code == 0, said
    assert "accuracy on 198 training images" in printed
    metrics = read(tmp_path / "out" / "metrics.json")
    trained = "student" if metrics["deployed"] == "zero-shot" else "classifier"
    classifier = Classifier.load(tmp_path / "out" / trained)
    assert len(classifier.networks) == (2 if name == "linear" else 1)
    assert ("starts from random ones" in said) == (name == "timm")
    assert "vlm_parameters" not in metrics
    assert metrics["n_skipped"] == 2
    stages = {"few images", "linear", "features", "via"} & {name}
    assert ("train on features" in metrics["seconds"]) == bool(stages)
    assert ("spread over neighbors" in said) == (name != "timm")


def test_a_persons_labels_are_taken(digits, call, tmp_path, done):
    few = tmp_path / "few.csv"
    few.write_text("file_name,label\n7.png,3\n8.png,4\n")
    command = ["annotate", digits / "train", *CLASSES, "-o", tmp_path / "out", "--vlm", "glyphs", "--few-shot", few]
    assert call(*command, "--cache", done[0].parent / "cache")[0] == 0
    table = pd.read_parquet(tmp_path / "out" / "annotations.parquet").set_index("file_name")
    assert table["label"].dropna().to_dict() == {"7.png": 3, "8.png": 4}
    assert table.loc["7.png", "candidates"].tolist() == [3]


# --- a full disk


@pytest.fixture
def tiny_disk(tmp_path):
    """A file system of one megabyte, and a way to make it larger."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root may mount a small file system")
    yield folder, lambda: subprocess.run(["mount", "-o", "remount,size=64m", str(folder)], check=True)
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_told_and_what_was_done_stays(done, digits, call, monkeypatch, tiny_disk):
    folder, enlarge = tiny_disk
    monkeypatch.setattr(deployment, "export_classifier", lambda *_: {"onnx": done[1]["onnx"]})
    command = job(digits, folder / "out", folder / "cache", "--json")
    code, printed, said = call(*command)
    told = [line for line in said.splitlines() if line.startswith("error: ")]
    assert (code, printed, len(told)) == (2, "", 1)
    assert "the disk is full" in told[0]
    assert "--resume" in told[0]
    assert (folder / "out" / "annotations.parquet").is_file()
    enlarge()
    code, printed, _ = call(*command, "--resume")
    assert code == 0
    assert untimed(json.loads(printed)) == untimed(done[1])


# --- other models


def architecture(kind):
    """The configuration of a model of open_clip."""
    if kind.startswith("tiny"):
        return {**tiny_clip.TINY, **(tiny_clip.SIGLIP if kind == "tiny-siglip" else {})}
    return tiny_clip.full_size(kind)


@pytest.mark.parametrize(
    "kind",
    [
        *("tiny-clip", "tiny-siglip"),
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("ViT-B-32", "ViT-B-16-SigLIP")),
    ],
)
def test_models_of_open_clip_with_random_weights_annotate(kind, digits, call, tmp_path):
    model, out = tiny_clip.write(tmp_path / kind, architecture(kind)), tmp_path / "out"
    code, printed, said = call("annotate", digits / "train", *CLASSES, "-o", out, "--vlm", model, "--json")
    assert code == 0, said
    assert json.loads(printed)["n_images"] == N_TRAIN - 2
    table = pd.read_parquet(out / "annotations.parquet")
    scores = np.stack(table["scores"])
    assert scores.sum(1) == pytest.approx(np.ones(len(scores)), abs=1e-4)
    assert np.stack(table["votes"]).shape == (N_TRAIN - 2, 8)
