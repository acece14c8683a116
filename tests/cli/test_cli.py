import csv
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import constants
from PIL import Image
from sklearn.datasets import load_digits

from zerolabel.cli import NAMES, main
from zerolabel.cli.demo_data import write_digits
from zerolabel.cli.screen import PLAIN_WIDTH

DIGITS = ["--classes", "0,1,2,3,4,5,6,7,8,9"]


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with digits, an empty one, files that are wrong in one way each, and a run that is not finished."""
    root = tmp_path_factory.mktemp("cli")
    (root / "images").mkdir()
    (root / "empty").mkdir()
    for i, picture in enumerate(load_digits().images[:30]):
        Image.fromarray((picture * 15.9).astype(np.uint8)).save(root / "images" / f"{i}.png")
    texts = {
        "notes/readme.txt": "mine",
        "templates.txt": "a photo of a {}\na drawing\n",
        "strange.csv": "file_name,label\nnone.png,1\n",
        "classless.csv": "file_name,label\n0.png,zebra\n",
        "unlabeled.csv": "file_name,label\n0.png,\n",
        "damaged.parquet": "PAR1 nothing",
        "alien/config.json": '{"model_type": "bert"}',
        "torn/config.json": '{"images": ',
    }
    for name, text in texts.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        main(["annotate", "images", *DIGITS, "-o", "half", "--vlm", "glyphs", "--cache", "cache"])
    return root


RUN = "run images -c 0,1,2,3,4,5,6,7,8,9 -o out --vlm glyphs --cache cache"
BAD = {
    "run nowhere -c 0,1 -o out": "there is no image, folder or list of images nowhere",
    "run empty -c 0,1 -o out": "there is no image in the folder empty",
    "run images -c '' -o out": "no class",
    "run images -c 0 -o out": "only the class '0'",
    "run images -c cat,dog,Cat -o out": "the same class twice",
    "run images -c names.txt -o out": "there is no class file names.txt",
    f"{RUN} --templates templates.txt": "lacks {}",
    f"{RUN} --templates opnai": "did you mean 'openai'?",
    f"{RUN} --candidates unoin": "did you mean 'union'?",
    f"{RUN} --vlm glyps": "did you mean 'glyphs'?",
    f"{RUN} --vlm open_clip:ViT-B-33/openai": "did you mean 'ViT-B-32'",
    f"{RUN} --vlm hf-hub:someone/something": "is not on this machine and the network cannot be reached",
    "run images -c 0,1 -o out": "is not on this machine and the network cannot be reached",
    f"{RUN} --method corge": "did you mean 'coreg'",
    f"{RUN} --set warmup=3": "did you mean 'warm_up'",
    f"{RUN} --set warm_up=soon": "warm_up is a whole number",
    f"{RUN} --set warm_up": "NAME=VALUE",
    f"{RUN} --set prior=0.5,0.5": "prior needs 10 positive weights",
    f"{RUN} --set batch_size=0": "batch_size=0 is out of range",
    f"{RUN} --set lr=nan": "lr=nan is out of range",
    f"{RUN} --student ligth": "did you mean 'light'?",
    f"{RUN} --size 0": "--size 0 is not between",
    f"{RUN} --device gpu": "did you mean 'cpu'?",
    f"{RUN} --deploy bth": "did you mean 'both'?",
    f"{RUN} --via pixels": "known: features",
    f"{RUN} --via features --student linear": "--student linear reads features",
    f"{RUN} --test nowhere": "there is no image, folder or list of images nowhere",
    f"{RUN} --truth nothing.csv": "there are no labels nothing.csv",
    f"{RUN} --truth classless.csv": "unknown class 'zebra'",
    f"{RUN} --truth strange.csv": "the class of none of the images",
    f"{RUN} --truth unlabeled.csv": "the class of none of the images",
    f"{RUN} --few-shot strange.csv": "first none.png",
    f"{RUN} -o half": "half holds another run",
    f"{RUN} -o half --resume --seed 3": "half holds a run with another --seed;",
    f"{RUN} -o notes --overwrite": "notes holds files that are no run",
    f"{RUN} -o alien --overwrite": "is damaged or no run's",
    f"{RUN} -o torn --resume": "is damaged or no run's",
    f"{RUN} -o damaged.parquet": "is a file",
    f"{RUN} -o damaged.parquet/out": "cannot be made",
    "train images nothing.parquet -o out": "there is no annotations file nothing.parquet",
    "train images damaged.parquet -o out": "damaged",
    "train empty half/annotations.parquet -o out": "there is no image in the folder empty",
    "predict nowhere images": "there is no classifier in nowhere",
    "predict half images": "finish it with --resume",
    "evaluate empty images --truth strange.csv": "there is no classifier in empty",
    "export notes": "there is no classifier in notes",
    "report notes": "notes is not the folder of a run",
    "learners coregg": "did you mean 'coreg'",
    "run images --classes": "requires an argument",
    "run images -o out": "missing option '--classes'",
    f"{RUN} --klasses 0": "--classes",
    f"{RUN} --epochs few": "'--epochs'",
    "runn images": "Did you mean 'run'?",
}


@pytest.mark.parametrize("command", BAD)
def test_bad_input_is_one_sentence_and_nothing_is_lost(command, world, monkeypatch, call, tmp_path):
    if command.endswith("--device gpu") and torch.cuda.is_available():
        pytest.skip("the nearest names differ where there is a CUDA device")
    monkeypatch.chdir(world)
    before = {path: path.read_bytes() for path in world.rglob("*") if path.is_file()}
    code, out, err = call(*shlex.split(command.replace("-o out", f"-o {tmp_path}/out")))
    told = [line for line in err.splitlines() if line.startswith("error: ")]
    assert (code, out) == (2, "")
    assert len(told) == 1
    assert BAD[command] in told[0]
    assert "Traceback" not in err
    assert err.splitlines()[-1] == told[0]
    assert all(path.read_bytes() == content for path, content in before.items())


@pytest.mark.parametrize("arguments", [["run"], ["predict", "nothing", "nowhere"], ["runn"]])
def test_the_process_ends_with_code_2(arguments, tmp_path):
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "zerolabel", *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


COMMANDS = NAMES


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)])
def test_every_command_has_help(command, call):
    code, out, err = call(*command, "--help")
    assert (code, err) == (0, "")
    assert f"Usage: zerolabel {' '.join(command)}".strip() in out
    assert "--help" in out


def test_no_command_shows_the_help_and_version_is_a_line(call):
    assert call()[:2] == call("--help")[:2]
    assert call("--version")[1].strip().count(".") == 2


def test_a_dry_run_writes_nothing(world, monkeypatch, call):
    monkeypatch.chdir(world)
    before = sorted(world.rglob("*"))
    code, out, _ = call(*RUN.replace("-o out", "-o never").split(), "--dry-run", "--json", "--set", "prior=estimated")
    assert code == 0
    planned = json.loads(out)
    assert planned["forecast"]["n_images"] == 30
    assert planned["forecast"]["total"] == pytest.approx(sum(planned["forecast"]["seconds"].values()))
    assert (planned["hyper_parameters"]["prior"], planned["settings"]["seed"]) == ("estimated", 0)
    assert sorted(world.rglob("*")) == before
    code, out, _ = call(*RUN.replace("-o out", "-o never").split(), "--dry-run")
    assert code == 0
    assert "30 in images" in out and "on frozen features" in out
    assert re.search(r" on \d+ cores?\b", out)
    assert not (world / "never").exists()


def test_annotate_again_and_as_json(world, monkeypatch, call, tmp_path):
    monkeypatch.chdir(world)
    code, out, _ = call("annotate", "images", "-c", "a,A", "-o", tmp_path / "x", "--vlm", "glyphs", "--json")
    assert code == 0
    assert json.loads(out)["n_classes"] == 2
    again = call("annotate", "images", "-c", "a,A", "-o", tmp_path / "x", "--vlm", "glyphs")
    assert (again[0], "--overwrite" in again[2]) == (2, True)
    assert call("annotate", "images", "-c", "a,A", "-o", tmp_path / "x", "--vlm", "glyphs", "--resume")[0] == 0


def test_damaged_images_are_listed_and_the_rest_is_used(tmp_path, call):
    digits = write_digits(tmp_path / "digits")
    files = sorted(digits.train.iterdir())
    for path in files[500:]:
        path.unlink()
    for i, path in enumerate(files[:500:10]):
        path.write_bytes(path.read_bytes()[: 30 * (i % 2)])
    code, out, _ = call("annotate", digits.train, *DIGITS, "-o", tmp_path / "out", "--vlm", "glyphs")
    assert code == 0
    assert "450 annotated, 50 unreadable" in out
    assert str(tmp_path / "out" / "skipped.csv") in out
    with (tmp_path / "out" / "skipped.csv").open(newline="") as file:
        listed = list(csv.DictReader(file))
    assert [row["file_name"] for row in listed] == [path.name for path in files[:500:10]]
    assert all(row["reason"] for row in listed)


def test_lists_of_images_are_taken(world, monkeypatch, call, tmp_path):
    monkeypatch.chdir(world)
    Path("list.csv").write_text("file_name\nimages/3.png\nimages/1.png\n")
    code, out, _ = call("annotate", "list.csv", *DIGITS, "-o", tmp_path / "out", "--vlm", "glyphs", "--json")
    Path("list.csv").unlink()
    assert code == 0
    assert json.loads(out)["n_images"] == 2


def test_learners_and_doctor(call):
    everything = json.loads(call("learners", "--json")[1])
    assert "coreg" in {entry["name"] for entry in everything}
    code, out, _ = call("learners", "coreg")
    assert code == 0
    assert "warm_up" in out
    assert max(map(len, out.splitlines())) <= PLAIN_WIDTH
    found = {finding["name"]: finding for finding in json.loads(call("doctor", "--json")[1])}
    assert found["glyphs"]["good"]
    assert found["torch"]["text"].startswith(torch.__version__.split("+")[0])
    assert call("doctor")[0] == 0
