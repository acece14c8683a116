"""The forecast of a run beside what the run took, over several kinds of job.

    python -m benchmarks.forecasts [--only NAMES] [--add] [--plans] [--out benchmarks/results/forecasts.json]

The images are 300 photographs of CIFAR-10 at 128 pixels, and scikit-learn's digits; the annotating model is a ViT-B/32
with random weights, whose speed is that of a trained one. Each job is a call of the command line in a process of its
own that is bound to one core, so that its processor time is what a quiet machine would take by the clock, whoever else
computes. The cache of features is empty. A dry run of each job is measured likewise, beside the time on the clock until
its plan is on the screen; with ``--plans``, dry runs alone, of jobs that were measured.
"""

import argparse
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from benchmarks import committed
from benchmarks.training_speed import machine
from tools.tiny_clip import full_size, write
from zerolabel.cli.demo_data import write_digits

RESULT = Path(__file__).parent / "results" / "forecasts.json"
CIFAR = "data/cifar10/cifar10_jpeg_50k_10k.npz"
PHOTOGRAPHS, SIDE = 300, 128


@dataclass(frozen=True)
class Job:
    """A call of ``zerolabel run``.

    Attributes:
        title: in words.
        images: "photographs", "embeddings" or "digits".
        options: beside images, classes, model and output.
    """

    title: str
    images: str
    options: str


JOBS = {
    "default": Job("photographs, defaults: a head on features", "photographs", ""),
    "learner": Job("head on features by PRODEN", "photographs", "--method proden"),
    "network": Job(
        "features, then resnet18 at 128 pixels",
        "photographs",
        "--student resnet18 --no-pretrained --via features --epochs 12",
    ),
    "timm": Job(
        "features, then mobilenetv3_small_100 at 128 pixels",
        "photographs",
        "--student mobilenetv3_small_100 --no-pretrained --via features --epochs 20",
    ),
    "pixels": Job(
        "Co-Reg on pixels, small network at 32 pixels",
        "photographs",
        "--via none --student light --size 32 --epochs 20",
    ),
    "embeddings": Job("embeddings, no image", "embeddings", ""),
    "digits": Job("digits, glyphs, Co-Reg on pixels", "digits", "--student light --epochs 8"),
    "digits-features": Job("digits, glyphs, a head on features", "digits", "--student features"),
}
"""What is measured, by name."""


@dataclass(frozen=True)
class Spent:
    """What a process took.

    Attributes:
        processor: seconds of processor time, in user and in kernel mode.
        clock: seconds by the clock.
        output: what it wrote to standard output.
    """

    processor: float
    clock: float
    output: str


def measured(arguments: Sequence[object]) -> Spent:
    """A call of the command line, bound to one core.

    Raises:
        SystemExit: it failed.
    """
    command = [sys.executable, "-m", "zerolabel", *map(str, arguments)]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    core = min(os.sched_getaffinity(0))
    done = subprocess.run(
        ["taskset", "-c", str(core), *command], capture_output=True, text=True, env=environment, check=False
    )
    clock, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr[-2000:]}")
    return Spent(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, clock, done.stdout)


def photographs(reference: Path, folder: Path) -> tuple[str, ...]:
    """Write `PHOTOGRAPHS` images of `SIDE` pixels, as many of each class; returns the class names."""
    with np.load(reference / CIFAR) as data:
        classes = tuple(str(name) for name in data["classes"])
        label, split, offsets, content = (data[name] for name in ("label", "split", "offsets", "data"))
    folder.mkdir(parents=True)
    for c in range(len(classes)):
        for i in np.flatnonzero((label == c) & (split == 0))[: PHOTOGRAPHS // len(classes)]:
            with Image.open(io.BytesIO(content[offsets[i] : offsets[i + 1]].tobytes())) as image:
                image.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(folder / f"{i:05}.jpg", quality=90)
    return classes


def sources(reference: Path, work: Path) -> dict[str, list[object]]:
    """The arguments of each kind of images: their place, class names and model."""
    classes = photographs(reference, work / "photographs")
    model = write(work / "vit", full_size("ViT-B-32"))
    measured(["embed", work / "photographs", "-o", work / "embeddings", "--vlm", model, "--cache", work / "c"])
    digits = write_digits(work / "digits")
    names = ["--classes", ",".join(classes)]
    return {
        "photographs": [work / "photographs", *names, "--vlm", model],
        "embeddings": [work / "embeddings", *names],
        "digits": [digits.train, "--classes", ",".join(digits.classes), "--vlm", "glyphs"],
    }


def row(name: str, job: Job, given: Sequence[object], work: Path) -> dict[str, Any]:
    """Forecast and measurement of one job, and what its dry run takes."""
    call = ["run", *given, *job.options.split(), "-o", work / f"run-{name}"]
    dry_run, forecast = dry(call)
    done = measured([*call, "--cache", work / f"cache-{name}"])
    metrics = json.loads((work / f"run-{name}" / "metrics.json").read_text(encoding="utf-8"))
    return {
        "job": name,
        "title": job.title,
        "options": job.options,
        "forecast_seconds": round(forecast["total"], 1),
        "processor_seconds": round(done.processor, 1),
        "clock_seconds": round(done.clock, 1),
        "ratio": round(done.processor / forecast["total"], 3),
        "stages": metrics["time"]["stages"],
        "dry_run": dry_run,
    }


def dry(call: Sequence[object]) -> tuple[dict[str, float], dict[str, Any]]:
    """What the dry run of a call takes, and its forecast."""
    planned = measured([*call, "--dry-run", "--json"])
    spent = {"processor_seconds": round(planned.processor, 2), "clock_seconds": round(planned.clock, 2)}
    return spent, json.loads(planned.output)["forecast"]


def main(arguments: list[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.forecasts", description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=JOBS, default=tuple(JOBS), help="jobs")
    parser.add_argument("--reference", type=Path, default=Path(os.environ.get("ZEROLABEL_REFERENCE", "shared")))
    parser.add_argument("--out", type=Path, default=RESULT, help="JSON file")
    parser.add_argument("--plans", action="store_true", help="measure dry runs alone, of jobs that were measured")
    committed.add_option(parser)
    options = parser.parse_args(arguments)
    before = committed.read(options.out, options.add or options.plans)
    command = "python -m benchmarks.forecasts " + " ".join(sys.argv[1:] if arguments is None else arguments)
    facts = {"command": command.strip(), "date": datetime.now(UTC).isoformat(timespec="seconds"), **machine()}
    rows: list[dict[str, Any]] = before.get("jobs", [])
    with tempfile.TemporaryDirectory() as work:
        given = sources(options.reference, Path(work))
        for name in options.only:
            job = JOBS[name]
            if options.plans:
                (there,) = (one for one in rows if one["job"] == name)
                call = ["run", *given[job.images], *job.options.split(), "-o", Path(work) / "run"]
                found = {**there, "dry_run": dry(call)[0]}
            else:
                found = row(name, job, given[job.images], Path(work))
            rows = committed.renew(rows, [found], ["job"])
            options.out.write_text(json.dumps({"machine": facts, "jobs": rows}, indent=1) + "\n", encoding="utf-8")
            print(name, found["forecast_seconds"], found["processor_seconds"], found["ratio"], flush=True)
    Console().print(shown(rows))


def table() -> tuple[list[str], list[list[str]]]:
    """The jobs as a table of the documentation."""
    found = json.loads(RESULT.read_text(encoding="utf-8"))["jobs"]
    head = ["job", "options", "forecast, s", "processor time, s", "ratio", "dry run: processor time, s"]
    body = [
        [
            one["title"],
            f"`{one['options']}`" if one["options"] else "",
            f"{one['forecast_seconds']:.0f}",
            f"{one['processor_seconds']:.0f}",
            f"{one['ratio']:.2f}",
            f"{one['dry_run']['processor_seconds']:.1f}",
        ]
        for one in found
    ]
    return head, body


def shown(rows: Sequence[dict[str, Any]]) -> Table:
    """The jobs as a table."""
    table = Table("job", "forecast, s", "measured, s", "measured / forecast", "dry run, s")
    for one in rows:
        spent = one["dry_run"]["processor_seconds"]
        figures = (one["forecast_seconds"], one["processor_seconds"], one["ratio"], spent)
        table.add_row(one["title"], *map(str, figures))
    return table


if __name__ == "__main__":
    main()
