"""`zerolabel adapt` on real digits with the built-in model: what it writes, uses, refuses, and survives."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from matrix import quick
from safetensors.torch import load_file

from zerolabel import vlms
from zerolabel.adaptation.adapt import adapt
from zerolabel.adaptation.checks import check
from zerolabel.adaptation.deployment import classifier
from zerolabel.adaptation.few_shot import FEW_SHOT
from zerolabel.adaptation.methods import METHODS, SUPERVISED, Method, summary
from zerolabel.adaptation.request import Request, find
from zerolabel.adaptation.training_targets import initial_prompt
from zerolabel.adaptation.transduction import SOLVERS
from zerolabel.adaptation.transduction import defaults as solver_defaults
from zerolabel.annotate import annotate
from zerolabel.annotations import Annotations
from zerolabel.cli.demo_data import write_digits
from zerolabel.data.classes import Classes
from zerolabel.data.images import ImageSet
from zerolabel.data.label_files import Labels
from zerolabel.deployment.classifier import Classifier
from zerolabel.errors import InputError
from zerolabel.learners import LEARNERS, hyper_parameters

CLASSES = ["--classes", ",".join("0123456789"), "--vlm", "glyphs"]
N = 150


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    """150 real digits, a list of them, their truth, and a label of two images of each class."""
    folder = tmp_path_factory.mktemp("pool")
    write_digits(folder)
    names = sorted(path.name for path in (folder / "train").glob("*.png"))[:N]
    (folder / "pool.txt").write_text("".join(f"train/{name}\n" for name in names))
    truth = pd.read_csv(folder / "truth.csv", dtype=str)
    truth = truth[truth["file_name"].isin(names)]
    truth.to_csv(folder / "pool.csv", index=False)
    truth.groupby("label").head(2).to_csv(folder / "few.csv", index=False)
    seen = truth[truth["label"].isin(list("012345"))]
    seen.to_csv(folder / "seen.csv", index=False)
    return folder


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("ZEROLABEL_CACHE", str(tmp_path / "cache"))


def accuracy(annotations: Annotations, truth: Path) -> float:
    labels = pd.read_csv(truth, dtype=str).set_index("file_name")["label"]
    best = [annotations.classes[c] for c in annotations.scores.argmax(1).tolist()]
    return float(np.mean([a == labels[Path(f).name] for a, f in zip(best, annotations.file_names, strict=True)]))


@pytest.mark.parametrize(
    "method",
    [
        *("grip", "fpl", "ifpl", "cpl", "upl", "ueo", "tent", "infomax", "pouf", "must", "dpa", "lafter"),
        *("proden", "coreg"),
    ],
)
def test_what_is_learned_annotates(method, pool, call, tmp_path):
    out = tmp_path / "adapted"
    code, printed, said = call(
        "adapt", pool / "pool.txt", *CLASSES, "--method", method, "-o", out, "--epochs", 3, "--json"
    )
    assert code == 0, said
    told = json.loads(printed)
    assert told["n_images"] == N and told["helped"] == (told["reason"] is None)
    record = json.loads((out / "adapted.json").read_text())
    assert record["method"] == method and record["used"] == told["helped"]
    again = ["annotate", pool / "pool.txt", *CLASSES[:2], "--vlm", f"adapted:{out}", "-o", tmp_path / "again"]
    assert call(*again)[0] == 0
    annotations = Annotations.load(tmp_path / "again" / "annotations.parquet")
    assert annotations.annotators[0].model == f"adapted:{out}"
    assert accuracy(annotations, pool / "pool.csv") > 0.9


@pytest.mark.parametrize("prompt", quick(("text", "norm"), ("text", "visual", "both", "norm", "lora", "adapter")))
@pytest.mark.parametrize("strategy", ["fpl", "ifpl", "grip"])
@pytest.mark.parametrize("setting", ["no labels", "few labels", "labels of some classes"])
def test_every_prompt_strategy_and_setting(setting, strategy, prompt, pool, tmp_path):
    encoder, names = vlms.load("glyphs"), Classes(tuple("0123456789"))
    images = ImageSet.open(str(pool / "pool.txt"))
    given = {"no labels": None, "few labels": "few.csv", "labels of some classes": "seen.csv"}[setting]
    own = {"seen": tuple(range(6))} if setting == "labels of some classes" else {}
    human = None if given is None else Labels.read(str(pool / given), names)
    request = Request("glyphs", strategy, prompt, own, {"epochs": 2, "device": "cpu"}, flip=False)
    done = adapt(
        images, encoder, names, ("a handwritten {}", "{}"), request, tmp_path / "out", cache=pool / "features",
        labels=None if human is None else lambda a: human.match(a.file_names, a.sha256),
    )  # fmt: skip
    assert done.trained.shape == (N, 10) and bool(torch.isfinite(done.trained).all())
    assert load_file(tmp_path / "out" / "adapted.safetensors")


def test_truth_says_whom_it_helped_and_without_it_estimates_do(pool, call, tmp_path):
    command = ["adapt", pool / "pool.txt", *CLASSES, "--method", "infomax", "--epochs", 3, "-o"]
    code, printed, err = call(*command, tmp_path / "a", "--json")
    assert code == 0 and "accuracy" not in json.loads(printed), err
    gains = json.loads(printed)["estimated_gains"]
    code, printed, err = call(*command, tmp_path / "b", "--truth", pool / "pool.csv", "--json")
    told = json.loads(printed)
    assert code == 0 and told["estimated_gains"] == gains, err
    before = annotate(
        ImageSet.open(str(pool / "pool.txt")), vlms.load("glyphs"), Classes(tuple("0123456789")),
        vlms.templates("glyphs", None),
    ).annotations  # fmt: skip
    assert told["accuracy"][0] == pytest.approx(accuracy(before, pool / "pool.csv"))
    assert len(told["class_gains"]["classes"]) == 10
    assert "points on the less accurate half" in call(*command, tmp_path / "c", "--truth", pool / "pool.csv")[1]


def test_the_folder_holds_what_was_learned_and_no_more(pool, call, tmp_path):
    out = tmp_path / "adapted"
    assert call("adapt", pool / "pool.txt", *CLASSES, "-o", out, "--epochs", 2)[0] == 0
    learned = load_file(out / "adapted.safetensors")
    assert [tuple(tensor.shape)[1] for tensor in learned.values()] == [vlms.load("glyphs").model.transformer.width]
    assert (out / "adapted.safetensors").stat().st_size < 100_000


def test_adapting_that_does_not_help_leaves_the_model_as_it_was(pool, call, tmp_path):
    out = tmp_path / "adapted"
    code, printed, _ = call(
        "adapt", pool / "pool.txt", *CLASSES, "--method", "tent", "-o", out, "--set", "lr=30", "--epochs", 4, "--json"
    )
    told = json.loads(printed)
    assert code == 0 and not told["helped"] and told["reason"]
    for vlm, folder in ((f"adapted:{out}", "a"), ("glyphs", "b")):
        assert call("annotate", pool / "pool.txt", *CLASSES[:2], "--vlm", vlm, "-o", tmp_path / folder)[0] == 0
    a, b = (Annotations.load(tmp_path / folder / "annotations.parquet") for folder in "ab")
    assert torch.equal(a.scores, b.scores)


def test_the_check_sees_a_collapse(pool):
    names = tuple("0123456789")
    encoder, images = vlms.load("glyphs"), ImageSet.open(str(pool / "pool.txt"))
    before = annotate(images, encoder, Classes(names), ("{}",), cache=pool / "features").annotations
    collapsed = torch.full((N, 10), 1e-3).index_fill(1, torch.tensor([3]), 0.991)
    found = check(before, collapsed)
    assert not found.helped and "rarely predicts" in str(found.reason)
    assert check(before, before.scores).helped


def test_killed_and_resumed_is_as_if_it_had_not_been(pool, tmp_path, call, monkeypatch):
    monkeypatch.setenv("ZEROLABEL_CACHE", str(tmp_path / "cache"))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def command(out, *more):
        return ["adapt", pool / "pool.txt", *CLASSES, "--tune", "norm", "--epochs", 6, "-o", out, *more]

    quiet = {"env": environment, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    assert call(*command(tmp_path / "whole"))[0] == 0
    process = subprocess.Popen([sys.executable, "-m", "zerolabel", *map(str, command(tmp_path / "cut"))], **quiet)
    checkpoint = tmp_path / "cut" / "checkpoint.safetensors"
    while not checkpoint.exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "cut" / "adapted.json").exists()
    assert call(*command(tmp_path / "cut", "--resume"))[0] == 0
    whole, cut = (load_file(tmp_path / folder / "adapted.safetensors") for folder in ("whole", "cut"))
    assert set(whole) == set(cut) and all(torch.equal(whole[name], cut[name]) for name in whole)


WRONG = {
    "--method grib": "--method grib: there is no such method; did you mean 'grip'?",
    "--tune txt": "--tune txt: there is no part 'txt'; did you mean 'text'?",
    "--tune both+text": "a part is named twice",
    "--set rounds=0": "--set rounds=0 is out of range; give a whole number from 1",
    "--set speed=2": "--set speed: grip has no such option",
    "--seen-classes 0,1": "--seen-classes needs --few-shot",
    "--method ueo --seen-classes 0": "--seen-classes goes with grip, ifpl and fpl",
    "--method coop": "--method coop learns from labels; give --few-shot",
    "--method tip-adapter": "--method tip-adapter learns from labeled images; give some by --few-shot",
    "--method lp++ --epochs 3": "learns no prompt by epochs",
    "--method tip-adapter --set beta=0": "--set beta=0 is out of range",
    "--method tip-adaptor": "there is no such method; did you mean 'tip-adapter'",
    "--tune deep+visual": "a part is named twice",
}


@pytest.mark.parametrize("options", WRONG)
def test_mistakes_are_one_sentence(options, pool, call, tmp_path):
    code, _, err = call("adapt", pool / "pool.txt", *CLASSES, "-o", tmp_path / "out", *options.split())
    told = [line for line in err.splitlines() if line.startswith("error: ")]
    assert code == 2 and len(told) == 1 and WRONG[options] in told[0], err
    assert not (tmp_path / "out").exists()


def test_a_folder_that_was_adapted_is_kept_and_a_damaged_one_named(pool, call, tmp_path):
    out = tmp_path / "adapted"
    command = ["adapt", pool / "pool.txt", *CLASSES, "-o", out, "--epochs", 1]
    assert call(*command)[0] == 0
    assert "give --resume to finish it" in call(*command)[2]
    assert "with other options" in call(*command, "--resume", "--seed", 1)[2]
    use = ["annotate", pool / "pool.txt", *CLASSES[:2], "-o", tmp_path / "again", "--vlm"]
    assert "there is no adapted.json in it" in call(*use, f"adapted:{tmp_path}")[2]
    record = json.loads((out / "adapted.json").read_text())
    wrong = (
        *({"used": "yes"}, {"classes": "one"}, {"classes": ["a", "a"]}, {"aliases": [[]]}, {"templates": [1]}),
        *({"base": f"adapted:{out}"}, {"base": 3}, {"threshold": "high"}, {"words": None}, {"revision": []}),
    )
    texts = [json.dumps({**record, **change}) for change in wrong]
    texts += ["{", "[]", "[" * 100_000, '{"base": 1, "base": 2}', '{"threshold": NaN}', '{"threshold": 1e999}']
    for text in texts:
        (out / "adapted.json").write_text(text)
        with pytest.raises(InputError, match=r"adapted\.json is damaged"):
            vlms.load(f"adapted:{out}")


@pytest.mark.parametrize(
    "prompt",
    quick(
        ("text", "lora"),
        [
            *("text", "classwise", "classifier", "visual", "deep", "both", "norm", "lora", "adapter"),
            *("text+norm", "classifier+deep+norm"),
        ],
    ),
)
def test_an_adapted_model_is_exported_and_says_what_it_annotates(prompt, pool, call, tmp_path):
    out = tmp_path / "adapted"
    command = ["adapt", pool / "pool.txt", *CLASSES, "--tune", prompt, "-o", out, "--epochs", 2, "--set", "lr=0.01"]
    assert call(*command)[0] == 0
    record = json.loads((out / "adapted.json").read_text())
    (out / "adapted.json").write_text(json.dumps({**record, "used": True}))
    use = ["annotate", pool / "pool.txt", *CLASSES[:2], "--vlm", f"adapted:{out}", "-o", tmp_path / "again"]
    assert call(*use)[0] == 0
    scores = Annotations.load(tmp_path / "again" / "annotations.parquet").scores
    made = classifier(out)
    images = ImageSet.open(str(pool / "pool.txt"))
    torch.testing.assert_close(made.predict_proba(images), scores, atol=5e-3, rtol=0)
    made.save(tmp_path / "saved")
    torch.testing.assert_close(
        Classifier.load(tmp_path / "saved").predict_proba(images), made.predict_proba(images), atol=1e-6, rtol=0
    )
    code, printed, err = call("export", out, "-o", tmp_path / "c.onnx", "--images", pool / "pool.txt", "--json")
    assert code == 0 and json.loads(printed)["agreement"] == 1.0, err


@pytest.mark.parametrize("method", quick(("em_dirichlet", "transclip"), SOLVERS))
def test_what_a_solver_found_answers_for_single_images(method, pool, call, tmp_path):
    out = tmp_path / "adapted"
    command = ["adapt", pool / "pool.txt", *CLASSES, "--method", method, "--truth", pool / "pool.csv", "-o", out]
    own = {"prior": "estimated"} if "prior" in solver_defaults(method) else {}
    if method in ("moon", "em_dirichlet"):
        code, _, err = call(*command)
        assert code == 2 and "take --method stata" in err and not out.exists()
        command[1:1] = ["--set", "present=1"]
        own["present"] = 1.0
    code, printed, err = call(*command, "--json")
    assert code == 0, err
    before, _ = json.loads(printed)["accuracy"]
    record = json.loads((out / "adapted.json").read_text())
    assert record["options"] == own
    (out / "adapted.json").write_text(json.dumps({**record, "used": True}))
    use = ["annotate", pool / "pool.txt", *CLASSES[:2], "--vlm", f"adapted:{out}", "-o", tmp_path / "again"]
    assert call(*use)[0] == 0
    annotations = Annotations.load(tmp_path / "again" / "annotations.parquet")
    assert accuracy(annotations, pool / "pool.csv") >= before - 0.01
    assert "leave --tune and --epochs out" in call(*command[:-1], tmp_path / "other", "--epochs", 2)[2]
    code, printed, err = call("export", out, "-o", tmp_path / "c.onnx", "--images", pool / "pool.txt", "--json")
    assert code == 0 and json.loads(printed)["agreement"] == 1.0, err


def test_a_truth_of_other_images_is_told_before_anything_is_learned(pool, call, tmp_path):
    other = tmp_path / "other.csv"
    other.write_text("file_name,label\nnowhere.png,1\n")
    code, _, err = call("adapt", pool / "pool.txt", *CLASSES, "--truth", other, "-o", tmp_path / "adapted")
    assert code == 2 and "the class of none of the images" in err and not (tmp_path / "adapted").exists()


@pytest.mark.parametrize("method", quick(("coop", "tip-adapter"), SUPERVISED))
def test_few_labels_are_what_supervised_methods_learn_from(method, pool, call, tmp_path):
    out = tmp_path / "adapted"
    epochs = [] if method in FEW_SHOT else ["--epochs", 2]
    code, _, err = call(
        "adapt", pool / "pool.txt", *CLASSES, "--method", method, "--few-shot", pool / "few.csv", "-o", out, *epochs
    )
    assert code == 0, err
    record = json.loads((out / "adapted.json").read_text())
    assert record["method"] == method
    (out / "adapted.json").write_text(json.dumps({**record, "used": True}))
    use = ["annotate", pool / "pool.txt", *CLASSES[:2], "--vlm", f"adapted:{out}", "-o", tmp_path / "again"]
    assert call(*use)[0] == 0
    annotations = Annotations.load(tmp_path / "again" / "annotations.parquet")
    assert accuracy(annotations, pool / "pool.csv") > (0.75 if method == "linear-probe" else 0.9)
    if method == "cocoop":
        assert "too slow to deploy" in call("export", out, "-o", tmp_path / "c.onnx")[2]
        return
    images = ImageSet.open(str(pool / "pool.txt"))
    torch.testing.assert_close(classifier(out).predict_proba(images), annotations.scores, atol=5e-3, rtol=0)
    code, printed, err = call("export", out, "-o", tmp_path / "c.onnx", "--images", pool / "pool.txt", "--json")
    assert code == 0 and json.loads(printed)["agreement"] == 1.0, err


def test_a_model_that_learned_classes_knows_no_others(pool, call, tmp_path):
    out = tmp_path / "adapted"
    few = ["--method", "lp++", "--few-shot", pool / "few.csv"]
    assert call("adapt", pool / "pool.txt", *CLASSES, *few, "-o", out)[0] == 0
    command = ["annotate", pool / "pool.txt", "--classes", "0,1", "--vlm", f"adapted:{out}", "-o", tmp_path / "again"]
    assert "has learned its own classes (0, 1, 2, 3, 4 ...)" in call(*command)[2]


def test_learned_text_starts_from_the_words_of_the_first_template_that_has_any():
    assert initial_prompt(("{}", "a handwritten {} here"), ("text",)) == ("a handwritten ", ("{} here",))
    assert initial_prompt(("{}", "a {}"), ("norm",)) == ("", ("{}", "a {}"))


def test_the_table_holds_every_method_once():
    over_features = {name: row for name, row in METHODS.items() if row.learner is None}
    assert [name for name, row in over_features.items() if row.needs_labels] == list(FEW_SHOT)
    assert [name for name, row in over_features.items() if not row.needs_labels] == list(SOLVERS)
    for name in SOLVERS:
        assert ("prior" in solver_defaults(name)) == (METHODS[name].hyper_parameters.get("prior") == "estimated")
    for row in METHODS.values():
        assert row.learner is None or row.learner in LEARNERS
        assert row.hyper_parameters.keys() <= hyper_parameters(LEARNERS[row.learner]).keys() if row.learner else True
    assert all(name in summary() for name in METHODS)
    assert find("proden") == Method("proden")


def test_unknown_methods_and_methods_without_a_learner():
    with pytest.raises(InputError, match="did you mean 'ueo'"):
        _ = Request("glyphs", "ueoo").learner
    with pytest.raises(InputError, match="trains no part of a model"):
        _ = Request("glyphs", "stata").learner
