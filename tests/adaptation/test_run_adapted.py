"""`zerolabel run --adapt` and `--open-set` on real digits: the loop from adapting to a deployed student."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from zerolabel.adaptation.deployment import classifier
from zerolabel.cli import main
from zerolabel.cli.demo_data import write_digits
from zerolabel.deployment.classifier import Classifier

NAMED = "0,1,2,3,4,5"


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """150 real digits to learn from, 60 held out, their truth, and the rest of the pool."""
    folder = tmp_path_factory.mktemp("digits")
    write_digits(folder)
    for part, n in (("train", 150), ("test", 60)):
        names = sorted(path.name for path in (folder / part).glob("*.png"))[:n]
        (folder / f"{part}.txt").write_text("".join(f"{part}/{name}\n" for name in names))
    truth = pd.read_csv(folder / "truth.csv", dtype=str)
    judged = [name.partition("/")[2] for name in (folder / "test.txt").read_text().split()]
    truth[truth["file_name"].isin(judged)].to_csv(folder / "judged.csv", index=False)
    known = truth[truth["label"].isin(NAMED.split(","))]["file_name"].tolist()
    files = [f"test/{name}" for name in known if (folder / "test" / name).exists()]
    (folder / "named.txt").write_text("".join(f"{name}\n" for name in files[:60]))
    return folder


def command(digits, out, *more):
    job = ["run", digits / "train.txt", "--classes", "0,1,2,3,4,5,6,7,8,9", "--vlm", "glyphs", "-o", out]
    own = ["--student", "features", "--method", "cross_entropy", "--epochs", 3, "--cache", out.parent / "cache"]
    return [str(part) for part in [*job, *own, *more]]


def test_the_student_learns_from_the_adapted_model(digits, tmp_path, capsys):
    out = tmp_path / "out"
    main(command(digits, out, "--adapt", "grip", "--test", digits / "test.txt", "--truth", digits / "judged.csv"))
    shown = capsys.readouterr().out
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["adaptation"]["method"] == "grip" and metrics["adaptation"]["helped"] in (True, False)
    assert metrics["unadapted_accuracy"] > 0.9 and "before adapting" in shown
    annotations = json.loads((out / "config.json").read_text())
    assert annotations["adapt"] == "grip" and annotations["vlm"] == ["glyphs"]
    assert json.loads((out / "adapted" / "adapted.json").read_text())["method"] == "grip"
    class_gains = json.loads((out / "evaluation.json").read_text())["class_gains_of_adaptation"]
    assert len(class_gains["classes"]) == 10
    assert (
        "was adapted to these images by grip" in (out / "report.html").read_text()
        or not metrics["adaptation"]["helped"]
    )
    assert classifier(out / "adapted").classes == tuple("0123456789")


def test_killed_while_adapting_and_resumed_it_ends_alike(digits, tmp_path):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    quiet = {"env": environment, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    program = [sys.executable, "-m", "zerolabel"]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    main(command(digits, whole, "--adapt", "ueo"))
    process = subprocess.Popen([*program, *command(digits, cut, "--adapt", "ueo")], **quiet)
    while not (cut / "adapted" / "checkpoint.safetensors").exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (cut / "adapted" / "adapted.json").exists()
    main(command(digits, cut, "--adapt", "ueo", "--resume"))
    for file in ("adapted/adapted.safetensors", "classifier/model.safetensors"):
        a, b = load_file(whole / file), load_file(cut / file)
        assert set(a) == set(b) and all(torch.equal(a[name], b[name]) for name in a)


def test_images_of_no_class_are_answered_unknown(digits, tmp_path):
    out = tmp_path / "out"
    job = command(digits, out, "--open-set")
    job[job.index("--classes") + 1] = NAMED
    main(job)
    made = Classifier.load(out / "classifier")
    assert made.classes == (*NAMED.split(","), "unknown")
    strangers = [name for name in (digits / "test.txt").read_text().split() if name not in named(digits)]
    (digits / "strangers.txt").write_text("".join(f"{name}\n" for name in strangers))
    known, others = made.predict(digits / "named.txt"), made.predict(digits / "strangers.txt")
    assert others.count("unknown") / len(others) > 0.7 > 0.3 > known.count("unknown") / len(known)
    script = subprocess.run(
        [sys.executable, out / "predict.py", out / "classifier.onnx", digits / "test", "--csv"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert ",unknown," in script.stdout


def named(digits: Path) -> set[str]:
    return set((digits / "named.txt").read_text().split())


WRONG = {
    "--adapt grib": "there is no such method; did you mean 'grip'?",
    "--open-set --classes unknown,b": "'unknown' is for out-of-distribution images",
    "--adapt lp++": "--adapt lp++ learns from labels; give --few-shot",
    "--adapt grip --vlm open_clip:ViT-B-32/openai": "adapts one model with image features",
}


@pytest.mark.parametrize("options", WRONG)
def test_mistakes_are_one_sentence(options, digits, tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        main(command(digits, tmp_path / "out", *options.split()))
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert end.value.code == 2 and len(told) == 1 and WRONG[options] in told[0]
    assert not (tmp_path / "out").exists()
