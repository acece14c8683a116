"""Push and pull against a server of the hub's protocol, each command a process of its own as a user starts it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from huggingface_hub import ModelCard

from tests.conftest import build_annotations
from tests.hub_server import TOKEN, Hub, serving
from zerolabel.data.views import Preprocess
from zerolabel.deployment.classifier import Classifier
from zerolabel.deployment.hub import with_header
from zerolabel.networks import build

CARD = """---
library_name: onnx
tags:
- zerolabel
model-index:
- name: coreg-light
  results:
  - task:
      type: image-classification
    dataset:
      type: private
      name: held-out images
    metrics:
    - type: accuracy
      name: accuracy
      value: 0.91
---

# A classifier
"""


@pytest.fixture
def hub():
    with serving() as server:
        yield server


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """What a run leaves, as far as the hub is concerned."""
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    Classifier((build("light", 3, 16),), ("a", "b", "c"), Preprocess(16, (0.5,) * 3, (0.2,) * 3)).save(
        folder / "classifier"
    )
    (folder / "classifier.onnx").write_bytes(bytes(range(256)) * 50)
    (folder / "classes.json").write_text('{"classes": ["a", "b", "c"]}')
    (folder / "predict.py").write_text("print('mine')")
    (folder / "report.html").write_text("shows images")
    (folder / "README.md").write_text(CARD)
    build_annotations(torch.tensor([[0, 1], [2, 2], [1, -1]]), 3).save(folder / "annotations.parquet")
    return folder


def zerolabel(hub: Hub | None, cache: Path, *arguments: object, token: str | None = TOKEN, offline: bool = False):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    environment |= {
        "HF_ENDPOINT": "http://127.0.0.1:9" if hub is None else hub.address,
        "HF_HOME": str(cache), "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        **({} if token is None else {"HF_TOKEN": token}), **({"HF_HUB_OFFLINE": "1"} if offline else {}),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "zerolabel", *map(str, arguments)],
        capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
    assert TOKEN not in done.stdout + done.stderr, "a token is shown to nobody"
    assert "Traceback" not in done.stderr, done.stderr
    return done


def test_what_is_pushed_can_be_pulled_and_afterward_offline(hub, finished, tmp_path):
    done = zerolabel(
        hub, tmp_path / "cache", "push", finished, "me/digits", "--license", "mit", "--dataset", "mnist/mnist",
        "--annotations", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    pushed = json.loads(done.stdout)
    files = hub.repositories["models/me/digits"].files
    assert sorted(files) == pushed["files"] == [
        *("README.md", "classes.json", "classifier.onnx", "classifier/config.json"),
        *("classifier/model.safetensors", "predict.py"),
    ]  # fmt: skip
    assert hub.repositories["models/me/digits"].private and hub.repositories["datasets/me/digits-annotations"].private
    assert files["classifier.onnx"] == (finished / "classifier.onnx").read_bytes()
    card = ModelCard(files["README.md"].decode())
    assert (card.data.license, card.data.datasets, card.data.tags) == ("mit", ["mnist/mnist"], ["zerolabel"])
    (result,) = card.data.eval_results
    assert (result.task_type, result.metric_type, result.metric_value) == ("image-classification", "accuracy", 0.91)

    out = tmp_path / "pulled"
    done = zerolabel(hub, tmp_path / "cache", "pull", "me/digits", "-o", out, "--annotations")
    assert done.returncode == 0, done.stderr
    for name in ("classifier.onnx", "classes.json", "classifier/config.json", "classifier/model.safetensors"):
        assert (out / name).read_bytes() == (finished / name).read_bytes()
    assert "mine" not in (out / "predict.py").read_text(), "no script of a repository is taken"
    assert Classifier.load(out).classes == ("a", "b", "c")
    described = json.loads((out / "annotations" / "croissant.json").read_text())
    assert described["conformsTo"].startswith("http://mlcommons.org/croissant/")
    header = yaml.safe_load((out / "annotations" / "README.md").read_text().split("---\n")[1])
    assert header["configs"] == [{"config_name": "default", "data_files": "data.parquet"}]

    again = zerolabel(hub, tmp_path / "cache", "pull", "me/digits", "-o", out)
    assert again.returncode == 2 and "exists and is not empty" in again.stderr
    offline = zerolabel(None, tmp_path / "cache", "pull", "me/digits", "-o", tmp_path / "offline")
    assert offline.returncode == 0, offline.stderr
    assert (tmp_path / "offline" / "classifier.onnx").read_bytes() == files["classifier.onnx"]
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes()


def test_a_pull_that_was_killed_goes_on_where_the_repository_is_the_same(hub, finished, tmp_path):
    out, name = tmp_path / "pulled", "models/me/digits"
    for arguments in (("push", finished, "me/digits"), ("pull", "me/digits", "-o", out)):
        assert zerolabel(hub, tmp_path / "cache", *arguments).returncode == 0
    whole = {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    for lost in ("predict.py", "classes.json"):
        (out / lost).unlink()
    (out / f".classes.json.{2**30}@elsewhere.partial").write_text("{")
    os.utime(out / f".classes.json.{2**30}@elsewhere.partial", (0, 0))
    assert zerolabel(hub, tmp_path / "cache", "pull", "me/digits", "-o", out).returncode == 0
    assert {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()} == whole

    (out / "predict.py").unlink()
    hub.repositories[name].files["classes.json"] = b"{}"
    refused = zerolabel(hub, tmp_path / "cache", "pull", "me/digits", "-o", out)
    assert refused.returncode == 2 and "exists and is not empty" in refused.stderr
    assert (out / "classes.json").read_bytes() == whole[Path("classes.json")]
    hub.repositories[name].files["classes.json"] = whole[Path("classes.json")]
    (out / "notes.txt").write_text("mine")
    assert zerolabel(hub, tmp_path / "cache", "pull", "me/digits", "-o", out).returncode == 2
    assert (out / "notes.txt").read_text() == "mine" and not (out / "predict.py").exists()


def test_what_is_refused_and_why(hub, finished, tmp_path):
    hub.add("me/other", {"config.json": b"{}"})
    cases = [
        (hub, ("push", finished, "me/digits"), {"token": None}, "needs a token"),
        (hub, ("push", finished, "me/digits"), {"token": "hf_wrong"}, "refuses me/digits (HTTP 401)"),
        (None, ("push", finished, "me/digits"), {}, "cannot be reached, so that nothing was pushed"),
        (hub, ("push", finished, "me/digits"), {"offline": True}, "HF_HUB_OFFLINE is set"),
        (hub, ("push", tmp_path, "me/digits"), {}, "lacks classifier/config.json"),
        (hub, ("push", finished, "digits"), {}, "is not the name of a repository"),
        (hub, ("pull", "me/none", "-o", tmp_path / "x"), {}, "HTTP 404"),
        (hub, ("pull", "me/other", "-o", tmp_path / "x"), {}, "has no classifier/config.json"),
        (None, ("pull", "me/digits", "-o", tmp_path / "x"), {}, "me/digits could not be pulled"),
    ]
    for server, arguments, more, message in cases:
        done = zerolabel(server, tmp_path / "cache", *arguments, **more)
        assert (done.returncode, done.stdout) == (2, "") and message in done.stderr, done.stderr
        assert not (tmp_path / "x").exists()
    assert list(hub.repositories) == ["models/me/other"]


def test_a_header_keeps_what_it_holds():
    assert with_header("# Title\n", {"license": None, "datasets": []}) == "# Title\n"
    once = with_header(CARD, {"license": "mit", "datasets": ["a/b"]})
    assert with_header(once, {"license": "mit", "datasets": ["a/b"]}) == once
    assert yaml.safe_load(with_header(once, {"license": "bsd"}).split("---\n")[1])["license"] == "bsd"
