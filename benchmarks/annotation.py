"""How fast images are annotated, against the bare encoder, float32 and the naive way, and how much memory it takes.

Photographs are made up: random textures with noise, 500 x 375 pixels, JPEG of quality 90. The model is a ViT-B/32 at
224 pixels with random weights. The ways take turns after every batch of one pass in the precision that is fastest on
the machine: the bare encoder gets as many images as were just annotated, as tensors in memory, in the same precision
and in float32; a pass over the files in float32 its next batch; the naive way a few images, one at a time with their
prompts encoded anew. With ``--threads 1`` all is processor time, which others on the machine disturb least. Memory is
that of the whole command ``zerolabel annotate`` with small distinct images.
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
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import open_clip
import torch
from jaxtyping import Float
from PIL import Image
from rich.console import Console
from rich.table import Table
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from benchmarks.training_speed import machine
from zerolabel import vlms
from zerolabel.annotate import Embedding, Step, embed, feature_cache, text_features, write
from zerolabel.annotations import Annotations
from zerolabel.data.classes import Classes
from zerolabel.data.images import ImageSet
from zerolabel.vlms.clip import DualEncoder
from zerolabel.vlms.prompts import TEMPLATES

RESULT = Path(__file__).parent / "results" / "annotation.json"
CLASSES = Classes(("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"))


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


RANGE = 64
"""Images that a worker of Ray takes at once."""


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


@dataclass
class Turns:
    """The other ways, which take their turn after each batch of `annotate`.

    Attributes:
        encoder: the model.
        exact: the same in float32.
        images: what is annotated.
        pixels: a batch in memory, as the encoder takes it.
        naive_images: how many the naive way gets, spread over the pass.
        clock: tells seconds.
        exact_pass: the pass over the files in float32.
        bare: seconds and images of each turn of the bare encoder.
        bare_exact: the same in float32.
        exact_seconds: of each turn of the pass in float32.
        naive: seconds of each image of the naive way.
        away: seconds that `annotate` waited.
    """

    encoder: DualEncoder
    exact: DualEncoder
    images: ImageSet
    pixels: Float[Tensor, "B 3 H W"]
    naive_images: int
    clock: Callable[[], float]
    exact_pass: Embedding
    bare: list[tuple[float, int]] = field(default_factory=list)
    bare_exact: list[tuple[float, int]] = field(default_factory=list)
    exact_seconds: list[float] = field(default_factory=list)
    naive: list[float] = field(default_factory=list)
    away: float = 0.0

    def between(self, steps: Iterator[Step]) -> Iterator[Step]:
        """Let `annotate` go on after each turn of the others."""
        before = 0
        for step in steps:
            start, some = self.clock(), self.pixels[: step.done - before]
            self.bare.append((self.seconds(lambda: self.encoder.encode_images(some)), len(some)))  # noqa: B023
            self.bare_exact.append((self.seconds(lambda: self.exact.encode_images(some)), len(some)))  # noqa: B023
            self.exact_seconds.append(self.seconds(lambda: next(self.exact_pass.steps)))
            while len(self.naive) < self.naive_images * step.done // step.total:
                self.naive.append(self.seconds(lambda: self.one_by_one(len(self.naive))))
            before = step.done
            self.away += self.clock() - start
            yield step

    def seconds(self, work: Callable[[], object]) -> float:
        """Duration."""
        start = self.clock()
        work()
        return self.clock() - start

    @torch.inference_mode()
    def one_by_one(self, index: int) -> Tensor:
        """One image, with one prompt per class encoded for it again."""
        image = self.exact.encode_images(self.exact.preprocess(self.images.read(index)).unsqueeze(0))
        texts = self.exact.model.encode_text(self.exact.tokenizer([f"a photo of a {c}" for c in CLASSES.names]))
        return self.exact.probabilities(image, functional.normalize(texts, dim=-1))


def speed(work: Path, count: int, naive_images: int, batch: int) -> dict[str, Any]:
    """Images per second: of `annotate` with all it does, from files to annotations on disk, and of the other ways."""
    encoder, images = vit(work / "vit"), photographs(work / "photographs", count)
    exact, templates = encoder.with_precision("float32"), TEMPLATES["generic"]
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    pixels = encoder.normalize(torch.stack([encoder.pixels(images.read(i)) for i in range(min(batch, count))]))
    for model in (encoder, exact):
        model.encode_images(pixels)
    exact_pass = embed(images, exact, batch_size=batch, cache=work / "exact")
    turns = Turns(encoder, exact, images, pixels, naive_images, clock, exact_pass)
    whole = turns.seconds(
        lambda: write(images, encoder, CLASSES, templates, work / "out", batch_size=batch, progress=turns.between)
    )
    ours, bare = count / (whole - turns.away), count / sum(seconds for seconds, _ in turns.bare)
    naive, in_float32 = len(turns.naive) / sum(turns.naive), count / sum(turns.exact_seconds)
    same, margin = agreement(work / "out", encoder, exact_pass.features, templates)
    return {
        "images": count,
        "templates": len(templates),
        "batch": batch,
        "precision": encoder.precision,
        "torch_threads": torch.get_num_threads(),
        "clock": clock.__name__,
        "annotate_images_per_second": ours,
        "bare_images_per_second": bare,
        "naive_images_per_second": naive,
        "naive_images": len(turns.naive),
        "of_bare": ours / bare,
        "float32_images_per_second": in_float32,
        "bare_float32_images_per_second": count / sum(seconds for seconds, _ in turns.bare_exact),
        "times_float32": ours / in_float32,
        "same_best_class_as_float32": same,
        "largest_lead_where_not": margin,
        "times_naive": ours / naive,
    }


def agreement(
    out: Path, encoder: DualEncoder, features: Float[Tensor, "N D"], templates: tuple[str, ...]
) -> tuple[float, float]:
    """Share of the votes that are those of float32, and the largest lead of a cosine where they are not."""
    texts = text_features(encoder, CLASSES, templates)
    cosines = torch.einsum("nd,acd->nac", features, texts)
    best = cosines.topk(2, dim=2)
    same = best.indices[..., 0] == Annotations.load(out / "annotations.parquet").votes
    leads = (best.values[..., 0] - best.values[..., 1])[~same]
    return float(same.double().mean()), float(leads.max()) if len(leads) else 0.0


def cluster(work: Path, count: int) -> dict[str, Any]:
    """Images per second of Ray with two workers and with one, each of one thread, once their processes are up.

    Photographs by a ViT-B/32, in ranges of `RANGE`; both take turns twice.
    """
    images, model = photographs(work / "for-ray", count), vit(work / "vit-for-ray").name
    seconds: dict[str, list[float]] = {"1": [], "2": []}
    for _ in range(2):
        for workers in ("1", "2"):
            process = [sys.executable, "-m", "benchmarks.annotation", "--worker", str(images.root), workers, model]
            out = subprocess.run(process, check=True, capture_output=True, text=True).stdout
            seconds[workers].append(float(out.split()[-1]))
    rates = {workers: count / statistics.median(times) for workers, times in seconds.items()}
    return {
        "images": count,
        "model": "ViT-B/32",
        "one_worker_images_per_second": rates["1"],
        "two_workers_images_per_second": rates["2"],
        "times_one_worker": rates["2"] / rates["1"],
        "seconds": seconds,
    }


def pass_on_ray(folder: Path, workers: int, model: str) -> float:
    """Seconds of a pass by so many workers, after a short one that starts them."""
    import ray

    ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    images, encoder = ImageSet.open(folder), vlms.load(model)
    with tempfile.TemporaryDirectory() as work, patch.object(feature_cache, "SHARD", RANGE):
        for name, part in (("first", images.select(range(4 * RANGE))), ("all", images)):
            done = write(part, encoder, CLASSES, ("{}",), Path(work) / name, engine="ray")
    ray.shutdown()
    return done.seconds


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
    for name, value in {**report.get("speed", {}), **report.get("ray", {})}.items():
        if isinstance(value, float):
            shown.add_row(name, f"{value:.2f}")
    for count, peak in report.get("memory_mib", {}).items():
        shown.add_row(f"peak memory at {count} images, MiB", f"{peak:.0f}")
    return shown


def main(arguments: list[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.annotation", description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=2000, help="photographs; 0 leaves speed out")
    parser.add_argument("--naive", type=int, default=100, help="how many of them the naive way gets")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, help="of torch; with one, all is processor time")
    parser.add_argument("--memory", type=int, nargs="*", default=[1000, 10_000, 100_000], help="numbers of images")
    parser.add_argument("--ray", type=int, default=1024, help="photographs for the workers of Ray; 0 leaves them out")
    parser.add_argument("--out", type=Path, default=RESULT, help="JSON file; what is left out stays as it is there")
    parser.add_argument(
        "--worker", nargs=3, metavar=("FOLDER", "WORKERS", "MODEL"), help="one pass on Ray; prints its seconds"
    )
    options = parser.parse_args(arguments)
    if options.worker:
        print(pass_on_ray(Path(options.worker[0]), int(options.worker[1]), options.worker[2]))
        return
    if options.threads:
        torch.set_num_threads(options.threads)
    command = "python -m benchmarks.annotation " + " ".join(sys.argv[1:] if arguments is None else arguments)
    report = json.loads(options.out.read_text()) if options.out.exists() else {}
    facts = {"command": command.strip(), "date": datetime.now(UTC).isoformat(timespec="seconds"), "hardware": machine()}
    with tempfile.TemporaryDirectory() as work:
        if options.images:
            figures = speed(Path(work), options.images, options.naive, options.batch)
            report["speed"] = figures | {"run": facts}
        if options.ray:
            report["ray"] = cluster(Path(work), options.ray) | {"run": facts}
        if options.memory:
            report["memory_mib"] = memory(Path(work), options.memory)
            report["memory_run"] = facts
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    Console().print(table(report))


if __name__ == "__main__":
    main()
