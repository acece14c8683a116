"""Paths that are no UTF-8, look like URLs or are such: read, written and found again, or refused in a sentence."""

import csv
import os
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import zerolabel
from zerolabel.annotations import Annotations
from zerolabel.data.classes import Classes
from zerolabel.data.label_files import Labels
from zerolabel.integrations.convert import export_labels, import_labels
from zerolabel.integrations.joining import silent
from zerolabel.runs.inference import write_table

BYTES = os.fsdecode(b"pi\xffcs")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkdir(BYTES)
    for i in range(6):
        Image.fromarray(np.full((16, 16), 40 * i, np.uint8)).save(f"{BYTES}/{i}.png")
    with open(os.fsdecode(b"few\xfe.csv"), "w", newline="") as file:
        csv.writer(file).writerows([("file_name", "label"), ("1.png", "one"), ("2.png", "two")])
    return BYTES


CLASSES = ("-c", "one,two")


def test_a_folder_and_a_list_of_labels(pictures, call):
    few = os.fsdecode(b"few\xfe.csv")
    said = ("annotate", pictures, "--vlm", "glyphs", *CLASSES, "-o", "out", "--few-shot", few)
    assert call(*said)[0] == 0
    assert call(*said, "--resume")[0] == 0
    assert call("import-labels", few, "--from", "csv", "--into", "out/annotations.parquet", "-o", "b.parquet")[0] == 0


@pytest.mark.parametrize(
    "command",
    [
        ("annotate", BYTES, "--vlm", "glyphs", *CLASSES),
        ("adapt", BYTES, "--vlm", "glyphs", *CLASSES, "--method", "zlap"),
        ("transduce", BYTES, "--vlm", "glyphs", *CLASSES, "--method", "zlap"),
        ("run", BYTES, "--vlm", "glyphs", *CLASSES),
    ],
)
def test_a_folder_to_write_is_refused_in_a_sentence(command, pictures, call):
    code, _, told = call(*command, "-o", os.fsdecode(b"o\xfd"))
    assert code == 2 and "is no UTF-8; give" in told and not os.path.exists(os.fsdecode(b"o\xfd/annotations.parquet"))


COLONS = ("run 12:30", "file:out", "a:b", "C:/x", "split=train", "x::y", "mailto:a@b")


@pytest.mark.parametrize("name", COLONS)
def test_what_is_written_in_a_folder_of_any_name_is_read_again(name, tmp_path, monkeypatch, make_annotations):
    monkeypatch.chdir(tmp_path)
    said = make_annotations(torch.tensor([[0, 1], [1, 1], [-1, 2]]), 3)
    place = Path(name) / "annotations.parquet"
    said.save(place)
    assert Annotations.load(place).file_names == Annotations.load(Path(name)).file_names == said.file_names
    for kind, ending in (("csv", ".parquet"), ("hugging-face", ".parquet"), ("crowd-kit", ".parquet")):
        there = Path(name) / f"{kind}{ending}"
        export_labels(said, kind, there)
        assert import_labels(silent(said), kind, there).votes.tolist() == said.votes.tolist()
    write_table(pd.DataFrame({"file_name": said.file_names, "label": ["class 1"] * 3}), Path(name) / "p.parquet")
    assert Labels.read(Path(name) / "p.parquet", Classes(said.classes)).ids == {"class 1": 1}


def test_a_command_whose_folders_have_colons(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("in: 1").mkdir()
    for i in range(3):
        Image.fromarray(np.full((16, 16), 80 * i, np.uint8)).save(f"in: 1/{i}.png")
    said = ("annotate", "in: 1", "--vlm", "glyphs", *CLASSES, "-o", "out 12:30", "--cache", "cache:1")
    assert call(*said)[0] == 0
    assert call(*said, "--resume")[0] == 0
    assert call("inspect", "out 12:30")[0] == 0


@pytest.mark.parametrize("place", ["s3://bucket/out", "http://user:hunter2@host/out", "gs://b/out.parquet", "hf://a/b"])
def test_a_place_to_write_that_is_a_url_is_refused(place, call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    for i in range(3):
        Image.fromarray(np.full((16, 16), 80 * i, np.uint8)).save(f"in/{i}.png")
    for command in ("annotate", "transduce", "adapt"):
        more = () if command == "annotate" else ("--method", "zlap")
        code, _, told = call(command, "in", "--vlm", "glyphs", *CLASSES, *more, "-o", place)
        assert code == 2 and "is a URL; give a folder of this machine" in told and "hunter2" not in told
    code, _, told = call("annotate", "in", "--vlm", "glyphs", *CLASSES, "-o", "out", "--cache", place)
    assert code == 2 and "--cache" in told and "is a URL" in told and "hunter2" not in told
    assert sorted(os.listdir()) == ["in"]


def test_no_other_file_reads_paths_with_pyarrow():
    sources = Path(zerolabel.__file__).parent.rglob("*.py")
    by_path = re.compile(r"pq\.(?!ParquetFile)|pd\.read_parquet|\.to_parquet\(|pq\.ParquetFile\((?!file\))")
    assert [file for file in sources if by_path.search(file.read_text()) and file.name != "parquet.py"] == []
