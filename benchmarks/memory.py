"""Memory of annotating many images from a folder, a tar file and a parquet file: ``python -m benchmarks.memory``.

Images are made up, gray, 8 x 8 pixels, all different. ``zerolabel annotate`` runs as a process of its own, a stub in
place of the tower of the model, which turns 64 pixels by a fixed matrix. All else is the command as it is: names,
reading, decoding, hashes, the cache of features, parts and the file of annotations. Memory is the most that the
process held resident. Rows go to ``benchmarks/results/memory.json`` as they are measured; others stay there.
"""

import argparse
import io
import json
import sys
import tarfile
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms import functional

from benchmarks.embeddings import measured
from benchmarks.training_speed import machine
from zerolabel import cli, vlms
from zerolabel.files import write_text
from zerolabel.vlms.clip import DualEncoder

RESULT = Path(__file__).parent / "results" / "memory.json"
FORMS = ("folder", "tar", "parquet")
SIDE, GROUP = 8, 1000
MODEL = ("--classes", "0,1,2,3,4,5,6,7,8,9", "--vlm", "glyphs", "--templates", "{}")


def content(number: int) -> bytes:
    """A PNG; its first pixels are its number."""
    pixels = np.frombuffer(number.to_bytes(4, "little") * (SIDE * SIDE // 4), np.uint8).reshape(SIDE, SIDE)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def make(form: str, place: Path, count: int) -> None:
    """Write so many images as a folder, a tar file or a parquet file."""
    if form == "folder":
        for number in range(count):
            if number % GROUP == 0:
                (place / f"{number // GROUP:04}").mkdir(parents=True)
            (place / f"{number // GROUP:04}" / f"{number:07}.png").write_bytes(content(number))
    elif form == "tar":
        with tarfile.open(place, "w", format=tarfile.USTAR_FORMAT) as file:
            for number in range(count):
                about, data = tarfile.TarInfo(f"{number:07}.png"), content(number)
                about.size = len(data)
                file.addfile(about, io.BytesIO(data))
    else:
        schema = pa.schema([("image", pa.binary()), ("file_name", pa.string())])
        with pq.ParquetWriter(place, schema) as writer:
            for start in range(0, count, GROUP):
                numbers = range(start, min(start + GROUP, count))
                columns = [[content(n) for n in numbers], [f"{n:07}.png" for n in numbers]]
                writer.write_table(pa.table(columns, schema=schema))


class Tower(nn.Module):
    """64 pixels by a fixed matrix."""

    def __init__(self, dimensions: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.register_buffer("matrix", torch.randn(SIDE * SIDE, dimensions, generator=generator))

    def forward(self, pixels: Tensor) -> Tensor:
        """Features of images."""
        return pixels.flatten(1) @ self.matrix


def stub(spec: str, *_: object) -> DualEncoder:
    """The embedded model with the stub as its image tower; texts are encoded as ever."""
    encoder = loaded(spec)
    encoder.model.visual = Tower(encoder.dimensions)
    return replace(encoder, preprocess=lambda image: functional.to_tensor(image.convert("L").resize((SIDE, SIDE))))


loaded = vlms.load


def annotate(words: list[str]) -> None:
    """The command with the stub."""
    with patch.object(vlms, "load", stub):
        cli.main(words)


def command(*words: object) -> dict[str, float]:
    """Peak memory and seconds of a command of zerolabel with the stub, as a process."""
    return measured("--as", *words, module="benchmarks.memory")


def row(form: str, count: int, work: Path) -> dict[str, Any]:
    """Peak memory and seconds of annotating one form and number."""
    place = work / ("images" if form == "folder" else f"images.{form}")
    make(form, place, count)
    words = ["annotate", place, *MODEL, "-o", work / "out", "--cache", work / "cache"]
    return {"form": form, "images": count, **command(*words)}


def others(count: int, work: Path) -> list[dict[str, Any]]:
    """Peak memory and seconds of the commands that look at all images jointly, after these were annotated."""
    row("parquet", count, work)
    said, place = work / "out", work / "images.parquet"
    asked: dict[str, list[object]] = {
        "candidates": ["candidates", said, "-o", work / "again", "--candidates", "quantile:0.5,0.1"],
        "inspect": ["inspect", said, "--json"],
        "transduce": ["transduce", place, *MODEL, "-o", work / "joint", "--cache", work / "cache"],
    }
    return [{"form": name, "images": count, **command(*words)} for name, words in asked.items()]


def main(arguments: list[str] | None = None) -> None:
    """Measure what is asked for, smallest first."""
    words = sys.argv[1:] if arguments is None else arguments
    if words[:1] == ["--as"]:
        annotate(words[1:])
        return
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, nargs="*", default=[100_000, 300_000, 1_000_000])
    parser.add_argument("--forms", nargs="*", choices=FORMS, default=FORMS)
    parser.add_argument("--jointly", type=int, default=250_000, help="images for the other commands; 0 leaves them out")
    parser.add_argument("--out", type=Path, default=RESULT, help="JSON file; rows that are not measured again stay")
    options = parser.parse_args(words)
    known = json.loads(options.out.read_text(encoding="utf-8"))["rows"] if options.out.exists() else []
    rows = {(one["form"], one["images"]): one for one in known}
    todo = [(count, form) for count in sorted(options.images) for form in options.forms]
    for count, form in [*todo, *([(options.jointly, "")] if options.jointly else [])]:
        with tempfile.TemporaryDirectory() as work:
            found = [row(form, count, Path(work))] if form else others(count, Path(work))
        print(json.dumps(found), flush=True)
        rows |= {(one["form"], one["images"]): one for one in found}
        facts = {"command": "python -m benchmarks.memory", "hardware": machine(), "rows": [*rows.values()]}
        write_text(options.out, json.dumps(facts, indent=1) + "\n")


def table(path: Path = RESULT) -> tuple[list[str], list[list[str]]]:
    """Head and rows for the documentation: MiB of each form or command by the number of images."""
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    counts = sorted({one["images"] for one in rows})
    peaks = {(one["form"], one["images"]): f"{one['peak_mib']:.0f}" for one in rows}
    names = dict.fromkeys(one["form"] for one in rows)
    body = [
        [f"annotate, {name}" if name in FORMS else name, *(peaks.get((name, n), "") for n in counts)] for name in names
    ]
    return ["peak memory, MiB", *(f"{n:,} images" for n in counts)], body


if __name__ == "__main__":
    main()
