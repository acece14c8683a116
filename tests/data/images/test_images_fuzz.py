"""Thousands of damaged files through the command line: each is used, or listed with a reason."""

import csv
import io
import os
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image, features

FORMS = ["JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP", "PPM", "TGA", "ICO", "JPEG2000", "PCX", "DDS", "MPO", "SGI"]
EXTENSIONS = [
    "jpg",
    "png",
    "gif",
    "tif",
    "webp",
    "bmp",
    "ppm",
    "tga",
    "ico",
    "jp2",
    "pcx",
    "dds",
    "heic",
    "avif",
    "psd",
]


def flipped(data, random):
    """One to eight bits turned over, anywhere or in the header."""
    limit = len(data) if random.random() < 0.5 else min(64, len(data))
    for place in random.integers(0, limit, random.integers(1, 9)):
        data[place] ^= 1 << random.integers(0, 8)
    return data


def cut(data, random):
    """The end is missing, or all of it."""
    return data[: random.integers(0, len(data))]


def huge(data, random):
    """Four bytes of the header, where many formats keep sizes and offsets, say a very large number."""
    place = int(random.integers(0, min(80, len(data) - 4)))
    data[place : place + 4] = random.choice([0xFF, 0x7F, 0x00], 4).astype(np.uint8)
    return data


def mixed(data, random):
    """A stretch of it lies twice, or somewhere else."""
    a, b, length = random.integers(0, len(data), 3)
    stretch = data[a : a + length].copy()
    return np.concatenate([data[:b], stretch, data[b:]])


def padded(data, random):
    """Noise behind the end, or noise alone."""
    noise = random.integers(0, 256, random.integers(1, 3000), dtype=np.uint8)
    return noise if random.random() < 0.2 else np.concatenate([data, noise])


def kept(data, random):
    """As it was: the name says another format."""
    return data


MUTATIONS = (flipped, cut, huge, mixed, padded, kept)


def mutate(folder, count, photo):
    """Write that many files, from several formats and modes, each damaged once or twice; seeded."""
    random = np.random.default_rng(20)
    forms = FORMS + ["AVIF"] * features.check("avif")
    photograph = Image.open(io.BytesIO(photo("PNG")))
    seeds = []
    for form in forms:
        for mode in ("RGB", "L", "P", "RGBA", "CMYK", "I;16", "1"):
            try:
                seeds.append(content(photograph.convert("I" if mode == "I;16" else mode).convert(mode), form))
            except (OSError, ValueError, KeyError):
                continue  # this format has no such mode
    folder.mkdir()
    for i in range(count):
        data = np.frombuffer(seeds[random.integers(0, len(seeds))], np.uint8).copy()
        for _ in range(random.integers(1, 3)):
            data = MUTATIONS[random.integers(0, len(MUTATIONS))](data, random) if len(data) > 8 else data
        extension = EXTENSIONS[random.integers(0, len(EXTENSIONS))]
        (folder / f"{i:04}.{extension}").write_bytes(data.tobytes())
    return sorted(path.name for path in folder.iterdir())


def content(image, form):
    buffer = io.BytesIO()
    image.save(buffer, form)
    return buffer.getvalue()


@pytest.mark.parametrize("count", [300, pytest.param(2000, marks=pytest.mark.slow)])
def test_damaged_files_are_used_or_listed(count, photo, tmp_path):
    names = mutate(tmp_path / "images", count, photo)
    command = ["annotate", "images", "-c", "0,1,2", "--vlm", "glyphs", "-o", "out", "--cache", "cache"]
    ended = subprocess.run(
        [sys.executable, "-m", "zerolabel", *command],
        cwd=tmp_path,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    used = pq.read_table(tmp_path / "out" / "annotations.parquet")["file_name"].to_pylist()
    with (tmp_path / "out" / "skipped.csv").open(newline="", encoding="utf-8") as file:
        skipped = {row["file_name"]: row["reason"] for row in csv.DictReader(file)}
    assert used == sorted(used) and sorted([*used, *skipped]) == names
    assert len(used) > count / 10 and len(skipped) > count / 10
    assert all(reason.strip() and "\n" not in reason and len(reason) < 400 for reason in skipped.values())
    assert "Traceback" not in ended.stderr and len(ended.stderr.splitlines()) < 20, ended.stderr
    print(f"{count} damaged files: {len(used)} used, {len(skipped)} listed with {len(set(skipped.values()))} reasons")
