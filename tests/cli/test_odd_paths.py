"""Paths that are no UTF-8, as copied from old systems: read, written down, and found again."""

import csv
import os
import sys

import numpy as np
import pytest
from PIL import Image

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
