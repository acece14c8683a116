"""Answers in words from a real inference server: the one of transformers, with a tiny LLaVA that is built here."""

import csv
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from PIL import Image

from zerolabel.annotations import Annotations
from zerolabel.cli import main

pytest.importorskip("fastapi", reason="the server needs transformers[serving]")
pytest.importorskip("uvicorn", reason="the server needs transformers[serving]")
pytest.importorskip("transformers", reason="the server needs transformers[serving]")
tiny_llava = pytest.importorskip("tiny_llava")

LEVELS = range(5, 256, 25)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    port = free_port()
    command = [str(Path(sys.executable).with_name("transformers")), "serve", "--host", "127.0.0.1", "--device", "cpu"]
    quiet = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(folder), "CUDA_VISIBLE_DEVICES": ""}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([*command, "--port", str(port)], stdout=log, stderr=log, env=quiet)
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(f"{address}/health", process, folder / "log")
        yield f"{address}/v1"
    finally:
        process.terminate()
        process.wait()


def wait_for(address: str, process: subprocess.Popen, log: Path) -> None:
    for _ in range(600):
        try:
            urllib.request.urlopen(address, timeout=5)
            return
        except OSError:
            assert process.poll() is None, log.read_text()
            time.sleep(0.5)
    raise AssertionError(log.read_text())


@pytest.fixture
def annotate(server, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("ZEROLABEL_CACHE", str(tmp_path / "cache"))
    images = tmp_path / "images"
    images.mkdir()
    for level in LEVELS:
        Image.new("RGB", (48, 48), (level,) * 3).save(images / f"{level:03}.png")

    def run(model, *more):
        out = tmp_path / "out"
        chat = ["--vlm", f"chat:{model}", "--endpoint", server, "--timeout", 300, "--resume"]
        arguments = ["annotate", images, "-c", "dark,bright", "-o", out, *chat, *more]
        main([str(argument) for argument in arguments])
        capsys.readouterr()
        with (out / "answers.csv").open(encoding="utf-8", newline="") as file:
            return Annotations.load(out / "annotations.parquet"), list(csv.DictReader(file))

    return run


def test_votes_are_what_the_model_says(annotate, tmp_path):
    annotations, answers = annotate(tiny_llava.write(tmp_path / "trained", trained=True))
    votes = {Path(row["file_name"]).stem: row["classes"] for row in answers}
    assert set(votes.values()) <= {"dark", "bright"}
    right = [votes[f"{level:03}"] == ("bright" if level > 127 else "dark") for level in LEVELS]
    assert sum(right) >= len(right) - 1  # the level beside the border may fall on either side
    assert len(annotations) == len(LEVELS)


def test_random_weights_end_with_the_reason(annotate, tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        annotate(tiny_llava.write(tmp_path / "random", trained=False), "--answer-tokens", 8)
    assert end.value.code == 2
    assert "11 of 11 answers were cut off before their end: raise --answer-tokens" in " ".join(
        capsys.readouterr().err.split()
    )
