"""Commands on a few digits that are killed, then go on after the data was changed: as fresh, or refused."""

import csv
import io
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from zerolabel.cli import main

NAMES = "zero,one,two,three,four,five,six,seven,eight,nine"
N = 40
SHORT = ["--epochs", "3", "--device", "cpu"]


def picture(i: int) -> Image.Image:
    gray = (255 - load_digits().images[i] * 255 / 16).astype("uint8")
    return Image.fromarray(np.kron(gray, np.ones((4, 4), "uint8")))


def write_data(place: Path) -> None:
    """``pics``, ``few.csv`` with labels of eight of them, ``truth.csv`` with all, and ``votes.csv`` of one worker."""
    (place / "pics").mkdir(parents=True)
    for i in range(N):
        picture(i).save(place / "pics" / f"{i:03}.png")
    names, target = NAMES.split(","), load_digits().target
    labels = [(f"{i:03}.png", names[target[i]]) for i in range(N)]
    write_csv(place / "few.csv", [("file_name", "label"), *labels[:8]])
    write_csv(place / "truth.csv", [("file_name", "label"), *labels])
    write_csv(place / "votes.csv", [("task", "worker", "label"), *((name, "ann", label) for name, label in labels)])


def write_csv(path: Path, rows: list[tuple[str, ...]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def zerolabel(place: Path, *arguments: object) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "ZEROLABEL_CACHE": str(place / "cache")}
    return subprocess.Popen(
        [sys.executable, "-m", "zerolabel", *map(str, arguments)], cwd=place, env=environment, text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


def here(place: Path, *arguments: object) -> tuple[int, str]:
    """The same in this process: exit code and what was told."""
    told, code = io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, redirect_stderr(told), redirect_stdout(io.StringIO()):
        patch.chdir(place)
        patch.setenv("ZEROLABEL_CACHE", str(place / "cache"))
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = int(end.code or 0)
    return code, told.getvalue()


@dataclass(frozen=True)
class Command:
    """A command that writes.

    Attributes:
        said: its arguments, but for the output.
        results: files that must be the same as those of a fresh command.
        marks: parts of names of files of which one is waited for before the kill.
        again: how it is told to go on.
        output: what is given as its output.
        option: by which it is given; empty where it needs none.
        needs_run: True where it reads the folder ``run``.
        on_copies: True where it writes into a run, so that its output is a copy of ``run``.
    """

    said: list[str]
    results: tuple[str, ...] = ("annotations.parquet",)
    marks: tuple[str, ...] = (".partial", ".partial", "annotations.parquet")
    again: tuple[str, ...] = ()
    output: str = "out"
    option: str = "-o"
    needs_run: bool = False
    on_copies: bool = False

    def to(self, said: list[str], output: str) -> list[str]:
        """These arguments with an output."""
        return [*said, *([self.option] if self.option else []), output]

    @property
    def delay(self) -> float:
        """Seconds at most between the mark and the kill; writing one file takes no longer."""
        return 0.01 if ".partial" in self.marks else 0.3


RESUMED, REPLACED = ("--resume",), ("--overwrite",)
ON = ["pics", "-c", NAMES, "--vlm", "glyphs"]
LABELED = [*ON, "--few-shot", "few.csv"]
SAID = "said/annotations.parquet"
TRAINED = ("annotations.parquet", "predictions.parquet")
COMMANDS = {
    "run": Command(
        ["run", *LABELED, "--student", "light", *SHORT], TRAINED,
        ("config.json", "stages.json", "train.safetensors", "model.safetensors", "metrics.json"), RESUMED,
    ),
    "features": Command(
        ["run", *LABELED, "--student", "linear", *SHORT], TRAINED,
        ("config.json", "annotations.parquet", "train-on-features", "predictions.parquet"), RESUMED,
    ),
    "train": Command(
        ["train", "pics", SAID, "--student", "light", *SHORT], TRAINED,
        ("config.json", "annotations.parquet", "log.jsonl", "train.safetensors", "classifier.onnx"), RESUMED,
    ),
    "compare": Command(
        ["compare", "pics", SAID, "--methods", "cc,proden", "--seeds", "1", *SHORT],
        ("runs/cc-0/probabilities.safetensors", "runs/proden-0/probabilities.safetensors"),
        ("comparison.json", "log.jsonl", "train.safetensors", "probabilities", "run.json"),
    ),
    "adapt": Command(
        ["adapt", *ON, "--method", "ueo", "--few-shot", "few.csv", *SHORT], ("adapted.safetensors",),
        ("request.json", "pixels.npy", "checkpoint", "adapted.safetensors", "adapted.json"), RESUMED,
    ),
    "annotate": Command(
        ["annotate", *LABELED, "--device", "cpu"], ("annotations.parquet",),
        ("config.json", "annotations.parts", "annotations.parquet", "stages.json", "skipped.csv"), RESUMED,
    ),
    "embed": Command(
        ["embed", "pics", "--vlm", "glyphs", "--device", "cpu"], ("images.parquet", "features-00000.safetensors"),
        (".zerolabel.lock", "features-00000", "images.parquet", "embeddings.json"),
    ),
    "improve": Command(
        ["improve", "run", "--answers", "truth.csv", "-n", "4", "--check", "8", "--changed", "2"],
        ("improve.json", "labels-1.csv", "round-1/annotations.parquet", "round-1/predictions.parquet"),
        ("answers.csv", "labels-1.csv", "round-1/config.json", "train.safetensors", "metrics.json", "improve.html"),
        needs_run=True,
    ),
    "transduce": Command(["transduce", *ON, "--device", "cpu"], again=REPLACED),
    "merge": Command(["merge", SAID, "said/other0.parquet"], again=REPLACED),
    "candidates": Command(["candidates", SAID, "--candidates", "topk:3", "--few-shot", "few.csv"], again=REPLACED),
    "simulate": Command(
        ["simulate", "pics", "-c", NAMES, "--truth", "truth.csv", "--kind", "class"], again=REPLACED,
    ),
    "export-labels": Command(
        ["export-labels", SAID, "--to", "crowd-kit"], ("votes.csv",), (".partial", "votes"), output="out/votes.csv"
    ),
    "import-labels": Command(
        ["import-labels", "votes.csv", "--from", "crowd-kit", "--into", SAID], output="out/annotations.parquet"
    ),
    "inspect": Command(
        ["inspect", SAID], ("page.html",), (".partial", "page"), output="out/page.html", option="--html"
    ),
    "review": Command(
        ["review", SAID, "-n", "8"], ("page.html",), (".partial", "page"), output="out/page.html", option="--static",
    ),
    "predict": Command(
        ["predict", "run/classifier", "pics", "--device", "cpu"], ("table.parquet",), (".partial", "table"),
        output="out/table.parquet", needs_run=True,
    ),
    "export": Command(
        ["export", "run/classifier", "--images", "pics"], ("model.onnx", "model.classes.json"),
        (".partial", "model.onnx", "classes"), output="out/model.onnx", needs_run=True,
    ),
    "report": Command(
        ["report"], ("report.html", "README.md"), (".partial",), option="", needs_run=True, on_copies=True
    ),
}  # fmt: skip


def annotated_data(place: Path) -> Path:
    """The data in a new folder, with annotations in ``said``."""
    write_data(place)
    assert here(place, *COMMANDS["annotate"].said, "-o", "said")[0] == 0
    return place


def command(kind: str, change: str) -> list[str]:
    """The arguments of a command, as they are after a change."""
    said = COMMANDS[kind].said
    if change != "class order" or NAMES not in said:
        return said
    return [",".join(reversed(NAMES.split(","))) if word == NAMES else word for word in said]


def change_nothing(place: Path, pick: random.Random) -> None:
    """The data stays as it is."""


def one_more_one_less(place: Path, pick: random.Random) -> None:
    (place / "pics" / f"{pick.randrange(20, N):03}.png").unlink()
    picture(N + pick.randrange(100)).save(place / "pics" / "-0.png")


def renamed(place: Path, pick: random.Random) -> None:
    shown = pick.randrange(10, N)
    (place / "pics" / f"{shown:03}.png").rename(place / "pics" / f"9{shown:03}.png")


def swapped(place: Path, pick: random.Random) -> None:
    a, b = (place / "pics" / f"{i:03}.png" for i in pick.sample(range(10, N), 2))
    a_content, b_content = a.read_bytes(), b.read_bytes()
    a.write_bytes(b_content)
    b.write_bytes(a_content)


def corrected(place: Path, pick: random.Random) -> None:
    rows = list(csv.reader((place / "few.csv").open()))
    row = pick.randrange(1, len(rows))
    rows[row][1] = "one" if rows[row][1] != "one" else "two"
    with (place / "few.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def other_annotations(place: Path, pick: random.Random) -> None:
    shutil.copy(place / "said" / f"other{pick.randrange(2)}.parquet", place / "said" / "annotations.parquet")


CHANGES = {
    "none": change_nothing,
    "one more, one less": one_more_one_less,
    "renamed": renamed,
    "swapped": swapped,
    "few-shot corrected": corrected,
    "class order": change_nothing,
    "annotations replaced": other_annotations,
}


@dataclass(frozen=True)
class Outcome:
    """How a command that went on ended, and how a fresh one did on the same data."""

    kind: str
    change: str
    killed: str
    code: int
    told: str
    fresh_code: int
    same: bool | None

    @property
    def fine(self) -> bool:
        errors = [line for line in self.told.splitlines() if line.startswith("error: ")]
        refused = self.code == 2 and len(errors) == 1 and "Traceback" not in self.told
        return refused or (self.code == self.fresh_code == 0 and self.same is True)


def kill(process: subprocess.Popen[str], out: Path, one: Command, pick: random.Random) -> str:
    """End it and its workers at a random moment after one of its files is there; it may have ended before."""
    mark, wait = pick.choice(one.marks), pick.random() * one.delay
    if wait_for(process, out, mark, one.delay / 20):
        time.sleep(wait)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    return f"{mark} + {wait:.3f} s"


def wait_for(process: subprocess.Popen[str], out: Path, mark: str, pause: float) -> bool:
    """Whether a file whose name has ``mark`` came while the process ran, looked for at every pause in seconds."""
    until = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < until:
        if any(mark in str(path.relative_to(out)) for path in out.rglob("*")):
            return True
        time.sleep(pause)
    return False


def same_files(one: Command, a: Path, b: Path) -> bool:
    """Whether results are the same, but for the folder that they name."""
    return all(same_file(a / name, b / name) for name in one.results)


def same_file(one: Path, other: Path) -> bool:
    if one.suffix == ".parquet":
        return pd.read_parquet(one).equals(pd.read_parquet(other))
    first, second = (re.sub(rb"\bfresh\b", b"out", path.read_bytes()) for path in (one, other))
    return first == second


def kill_and_change(data: Path, place: Path, kind: str, change: str, pick: random.Random) -> Outcome:
    """Kill a command, change the data, go on, and do the same in a fresh folder."""
    shutil.copytree(data, place)
    one = COMMANDS[kind]
    for copy in ("out", "fresh") if one.on_copies else ():
        shutil.copytree(place / "run", place / copy)
    killed = kill(zerolabel(place, *one.to(one.said, one.output)), place / "out", one, pick)
    CHANGES[change](place, pick)
    said = command(kind, change)
    code, told = here(place, *one.to(said, one.output), *one.again)
    if code != 0:
        return Outcome(kind, change, killed, code, told, 0, None)
    fresh, _ = here(place, *one.to(said, one.output.replace("out", "fresh")))
    left = [path.name for path in (place / "out").rglob("*") if ".partial" in path.name]
    same = fresh == 0 and not left and same_files(one, place / "out", place / "fresh")
    return Outcome(kind, change, killed, 0, told, fresh, same)
