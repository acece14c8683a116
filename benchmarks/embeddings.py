"""Memory of annotating embeddings and of training a head on them: ``python -m benchmarks.embeddings``.

Embeddings are made up: a unit vector per class, noise around it, 512 numbers an image in float16; the class embeddings
are the vectors themselves with noise, in a few prompts. ``zerolabel annotate embeddings:FOLDER`` and
``zerolabel train --epochs 1`` run as processes of their own; memory is the most that each held resident, pages of
mapped files included. Rows go to ``benchmarks/results/embeddings.json`` as they are measured.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.training_speed import machine

RESULTS = Path("benchmarks/results/embeddings.json")
DIMENSIONS = 512
AT_A_TIME = 50_000
NOISE = 1.2
"""Length of the noise beside a class's vector of length 1."""


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows of length 1."""
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def make(folder: Path, n_images: int, n_classes: int, seed: int = 0) -> None:
    """Write the embeddings, a file of names beside them, and the class embeddings."""
    random = np.random.default_rng(seed)
    centers = unit(random.normal(size=(n_classes, DIMENSIONS))).astype(np.float32)
    spread = NOISE / DIMENSIONS**0.5
    (folder / "images").mkdir(parents=True)
    matrix = np.lib.format.open_memmap(
        folder / "images" / "vectors.npy", mode="w+", dtype=np.float16, shape=(n_images, DIMENSIONS)
    )
    with (folder / "images" / "vectors.txt").open("w") as names:
        for start in range(0, n_images, AT_A_TIME):
            ids = random.integers(n_classes, size=min(AT_A_TIME, n_images - start))
            noise = random.normal(scale=spread, size=(len(ids), DIMENSIONS))
            matrix[start : start + len(ids)] = unit(centers[ids] + noise)
            names.writelines(f"{start + i:07d}.jpg\n" for i in range(len(ids)))
    matrix.flush()
    prompts = [unit(centers + random.normal(scale=0.3 * spread, size=centers.shape)) for _ in range(3)]
    np.save(folder / "classes.npy", np.stack(prompts).astype(np.float32))
    (folder / "classes.txt").write_text("".join(f"class {c}\n" for c in range(n_classes)))


def measured(*command: object) -> dict[str, float]:
    """Peak resident memory in MiB and seconds of one call of the command line.

    Raises:
        SystemExit: it failed.
    """
    with tempfile.TemporaryFile() as errors:
        start = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "zerolabel", *map(str, command)], stdout=subprocess.DEVNULL, stderr=errors
        )
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            errors.seek(0)
            raise SystemExit(f"{' '.join(map(str, command))} ended with {status}: {errors.read().decode()[-2000:]}")
    return {"peak_mib": usage.ru_maxrss / 1024, "seconds": time.perf_counter() - start}


def row(n_images: int, n_classes: int, work: Path) -> dict[str, Any]:
    """Both commands on so many embeddings."""
    folder = work / f"{n_images}-{n_classes}"
    make(folder, n_images, n_classes)
    source, classes = f"embeddings:{folder / 'images'}@{folder / 'classes.npy'}", folder / "classes.txt"
    annotated = measured("annotate", source, "--classes", classes, "--candidates", "mass:0.9", "-o", folder / "votes")
    trained = measured("train", source, folder / "votes", "-o", folder / "head", "--epochs", 1, "--set-aside", 0)
    size = (folder / "votes" / "annotations.parquet").stat().st_size
    return {
        "images": n_images, "classes": n_classes, "dimensions": DIMENSIONS, "annotations_mib": size / 2**20,
        "annotate": annotated, "train": trained,
    }  # fmt: skip


def main() -> None:
    """Measure, smallest first."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--classes", type=int, default=1000)
    options = parser.parse_args()
    rows = []
    for n_images in options.images:
        with tempfile.TemporaryDirectory() as work:
            rows.append(row(n_images, options.classes, Path(work)))
        print(json.dumps(rows[-1]), flush=True)
        facts = {"command": f"python -m benchmarks.embeddings --classes {options.classes}", "hardware": machine()}
        RESULTS.write_text(json.dumps({**facts, "torch": torch.__version__, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
