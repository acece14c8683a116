"""How fast images are annotated, against the bare encoder and against the naive way, and how much memory it takes.

Photographs are made up: random textures with noise, 500 x 375 pixels, JPEG of quality 90. The model is a ViT-B/32 at
224 pixels with random weights. Memory is that of the whole command ``zerolabel annotate`` with small distinct images.
"""

import argparse
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from safetensors.torch import save_file

from benchmarks.training_speed import machine
from zerolabel import vlms
from zerolabel.annotate import annotate, text_features
from zerolabel.images import ImageSet
from zerolabel.prompts import TEMPLATES, Classes
from zerolabel.vlms.clip import DualEncoder

RESULT = Path(__file__).parent / "results" / "annotation.json"
CLASSES = Classes(("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"))
WAYS = ("annotate", "bare", "naive")


def photographs(folder: Path, count: int) -> ImageSet:
    """Distinct JPEGs of photograph size."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 6, (375, 500, 1))
    for i in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8))
        pixels = np.asarray(coarse.resize((500, 375), Image.Resampling.BICUBIC)) + np.roll(noise, i, (0, 1))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{i:06}.jpg", quality=90)
    return ImageSet.open(folder)


def small_images(folder: Path, count: int) -> None:
    """Distinct PNGs of 12 x 12 pixels, a thousand to a folder."""
    rng = np.random.default_rng(0)
    for i in range(count):
        place = folder / f"{i // 1000:03}"
        if i % 1000 == 0:
            place.mkdir(parents=True)
        buffer = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (12, 12), dtype=np.uint8)).save(buffer, "PNG", compress_level=1)
        (place / f"{i:06}.png").write_bytes(buffer.getvalue())


def vit(folder: Path) -> DualEncoder:
    """A ViT-B/32 with random weights, as a folder that open_clip reads."""
    folder.mkdir()
    torch.manual_seed(0)
    model = open_clip.create_model("ViT-B-32")
    config = {"model_cfg": open_clip.get_model_config("ViT-B-32")}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    weights = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(weights, folder / "open_clip_model.safetensors")
    return vlms.load(f"open_clip:{folder}")


def speed(work: Path, count: int, rounds: int, batch: int) -> dict[str, Any]:
    """Images per second, the ways in turn, each round on images of its own.

    The bare encoder takes as many images as `annotate`, in batches that lie in memory; the naive way a tenth, since it
    costs the same for each.
    """
    encoder, images = vit(work / "vit"), photographs(work / "photographs", count)
    templates, size = TEMPLATES["generic"], count // rounds
    pixels = encoder.normalise(torch.stack([encoder.pixels(images.read(i)) for i in range(batch)]))
    encoder.encode_images(pixels)
    text_features(encoder, CLASSES, templates)

    def bare(part: ImageSet) -> None:
        for start in range(0, len(part), batch):
            encoder.encode_images(pixels[: len(part) - start])

    def naive(part: ImageSet) -> None:
        for i in range(len(part)):
            image = encoder.encode_images(encoder.preprocess(part.read(i)).unsqueeze(0))
            for text in text_features(encoder, CLASSES, templates):
                encoder.probabilities(image, text)

    def ours(part: ImageSet) -> None:
        annotate(part, encoder, CLASSES, templates, batch_size=batch)

    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    for k in range(rounds):
        part = images.select(range(k * size, (k + 1) * size))
        seconds["bare"].append(per_image(bare, part))
        seconds["annotate"].append(per_image(ours, part))
        seconds["naive"].append(per_image(naive, part.select(range(max(1, size // 10)))))
    of_bare = [b / a for a, b in zip(seconds["annotate"], seconds["bare"], strict=True)]
    of_naive = [n / a for a, n in zip(seconds["annotate"], seconds["naive"], strict=True)]
    rates = {f"{way}_images_per_second": 1 / statistics.median(seconds[way]) for way in WAYS}
    return {
        "images": count,
        "batch": batch,
        "precision": "float32",
        **rates,
        "of_bare": statistics.median(of_bare),
        "times_naive": statistics.median(of_naive),
        "seconds_per_image": seconds,
    }


def per_image(work: Callable[[ImageSet], None], images: ImageSet) -> float:
    """Seconds."""
    start = time.perf_counter()
    work(images)
    return (time.perf_counter() - start) / len(images)


def memory(work: Path, counts: list[int]) -> dict[str, float]:
    """Peak resident memory of the command in MiB, by number of images; each a process of its own."""
    peaks = {}
    for count in counts:
        folder = work / str(count)
        small_images(folder / "images", count)
        command = [sys.executable, "-m", "zerolabel", "annotate", str(folder / "images"), "--vlm", "glyphs"]
        command += ["--classes", ",".join("0123456789"), "-o", str(folder / "out"), "--cache", str(folder / "cache")]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise RuntimeError(f"{' '.join(command)} ended with {status}")
        peaks[str(count)] = usage.ru_maxrss / 1024
        shutil.rmtree(folder)
    return peaks


def table(report: dict[str, Any]) -> Table:
    """A row per figure."""
    shown = Table("figure", "value")
    for name, value in report.get("speed", {}).items():
        if isinstance(value, float):
            shown.add_row(name, f"{value:.2f}")
    for count, peak in report.get("memory_mib", {}).items():
        shown.add_row(f"peak memory at {count} images, MiB", f"{peak:.0f}")
    return shown


def main(arguments: list[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.annotation", description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=2000, help="photographs; 0 leaves speed out")
    parser.add_argument("--rounds", type=int, default=5, help="in which the ways take turns")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--memory", type=int, nargs="*", default=[1000, 10_000, 100_000], help="numbers of images")
    parser.add_argument("--out", type=Path, default=RESULT, help="JSON file; what is left out stays as it is there")
    options = parser.parse_args(arguments)
    command = "python -m benchmarks.annotation " + " ".join(sys.argv[1:] if arguments is None else arguments)
    report = json.loads(options.out.read_text()) if options.out.exists() else {}
    facts = {"command": command.strip(), "date": datetime.now(UTC).isoformat(timespec="seconds"), "hardware": machine()}
    with tempfile.TemporaryDirectory() as work:
        if options.images:
            report["speed"] = speed(Path(work), options.images, options.rounds, options.batch) | {"run": facts}
        if options.memory:
            report["memory_mib"] = memory(Path(work), options.memory)
            report["memory_run"] = facts
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    Console().print(table(report))


if __name__ == "__main__":
    main()
