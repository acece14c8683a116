"""Commands on a few digits that are killed, then go on after the data was changed: as fresh, or refused."""

import csv
import io
import os
import random
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
    """``pics``, ``few.csv`` with labels of eight of them, and ``said`` with annotations of all."""
    (place / "pics").mkdir(parents=True)
    for i in range(N):
        picture(i).save(place / "pics" / f"{i:03}.png")
    names, target = NAMES.split(","), load_digits().target
    with (place / "few.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("file_name", "label"), *((f"{i:03}.png", names[target[i]]) for i in range(8))])


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


COMMANDS = {
    "run": ["run", "pics", "-c", NAMES, "--vlm", "glyphs", "--few-shot", "few.csv", "--student", "light", *SHORT],
    "features": ["run", "pics", "-c", NAMES, "--vlm", "glyphs", "--few-shot", "few.csv", "--student", "linear", *SHORT],
    "train": ["train", "pics", "said/annotations.parquet", "--student", "light", *SHORT],
    "compare": ["compare", "pics", "said/annotations.parquet", "--methods", "cc,proden", "--seeds", "1", *SHORT],
    "adapt": ["adapt", "pics", "-c", NAMES, "--vlm", "glyphs", "--method", "ueo", "--few-shot", "few.csv", *SHORT],
    "annotate": ["annotate", "pics", "-c", NAMES, "--vlm", "glyphs", "--few-shot", "few.csv", "--device", "cpu"],
    "embed": ["embed", "pics", "--vlm", "glyphs", "--device", "cpu"],
}
RESULTS = {
    "run": ("annotations.parquet", "predictions.parquet"),
    "features": ("annotations.parquet", "predictions.parquet"),
    "train": ("annotations.parquet", "predictions.parquet"),
    "compare": ("runs/cc-0/probabilities.safetensors", "runs/proden-0/probabilities.safetensors"),
    "adapt": ("adapted.safetensors",),
    "annotate": ("annotations.parquet",),
    "embed": ("images.parquet", "features-00000.safetensors"),
}
MARKS = {
    "run": ("config.json", "stages.json", "train.safetensors", "model.safetensors", "metrics.json"),
    "features": ("config.json", "annotations.parquet", "train-on-features", "predictions.parquet"),
    "train": ("config.json", "annotations.parquet", "log.jsonl", "train.safetensors", "classifier.onnx"),
    "compare": ("comparison.json", "log.jsonl", "train.safetensors", "probabilities", "run.json"),
    "adapt": ("request.json", "pixels.npy", "checkpoint", "adapted.safetensors", "adapted.json"),
    "annotate": ("config.json", "annotations.parts", "annotations.parquet", "stages.json", "skipped.csv"),
    "embed": (".zerolabel.lock", "features-00000", "images.parquet", "embeddings.json"),
}
"""Files of which one is waited for before the kill."""
CONTINUING = ("compare", "embed")
"""Commands that need no --resume."""


def command(kind: str, change: str) -> list[str]:
    """The arguments of a command, as they are after a change."""
    said = COMMANDS[kind]
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


def kill(kind: str, process: subprocess.Popen[str], out: Path, pick: random.Random) -> str:
    """End it and its workers at a random moment after one of its files is there; it may have ended before."""
    mark, wait, until = pick.choice(MARKS[kind]), pick.random() * 0.3, time.monotonic() + 120
    while process.poll() is None and time.monotonic() < until:
        if any(mark in str(path) for path in out.rglob("*")):
            time.sleep(wait)
            break
        time.sleep(0.02)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    return f"{mark} + {wait:.2f} s"


def same_files(kind: str, a: Path, b: Path) -> bool:
    for name in RESULTS[kind]:
        if name.endswith(".parquet"):
            if not pd.read_parquet(a / name).equals(pd.read_parquet(b / name)):
                return False
        elif (a / name).read_bytes() != (b / name).read_bytes():
            return False
    return True


def kill_and_change(data: Path, place: Path, kind: str, change: str, pick: random.Random) -> Outcome:
    """Kill a command, change the data, go on, and do the same in a fresh folder."""
    shutil.copytree(data, place)
    killed = kill(kind, zerolabel(place, *COMMANDS[kind], "-o", "out"), place / "out", pick)
    CHANGES[change](place, pick)
    again = [] if kind in CONTINUING else ["--resume"]
    code, told = here(place, *command(kind, change), "-o", "out", *again)
    if code != 0:
        return Outcome(kind, change, killed, code, told, 0, None)
    fresh, _ = here(place, *command(kind, change), "-o", "fresh")
    same = fresh == 0 and same_files(kind, place / "out", place / "fresh")
    return Outcome(kind, change, killed, 0, told, fresh, same)
