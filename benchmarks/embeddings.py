"""Memory of annotating embeddings and of training a head on them: ``python -m benchmarks.embeddings``.

Embeddings are made up: a unit vector per class, noise around it, 512 numbers an image in float16; the class embeddings
are the vectors themselves with noise, in a few prompts. ``zerolabel annotate embeddings:FOLDER`` and
``zerolabel train`` run as processes of their own. Memory is the most that each held resident, pages of mapped files
included, and the most beside those pages, which the system writes out where it needs the room; the latter is looked up
a few times a second. Rows go to ``benchmarks/results/embeddings.json`` as they are measured.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import committed
from benchmarks.training_speed import machine

RESULTS = Path("benchmarks/results/embeddings.json")
DIMENSIONS = 512
AT_A_TIME = 50_000
BETWEEN = 0.2
"""Seconds between two looks at the memory of a process."""
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


def measured(*command: object, module: str = "zerolabel") -> dict[str, float]:
    """Peak resident memory in MiB and seconds of one call of the command line, or of another module.

    Raises:
        SystemExit: it failed.
    """
    held = 0.0
    with tempfile.TemporaryFile() as errors:
        start = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", module, *map(str, command)], stdout=subprocess.DEVNULL, stderr=errors
        )
        while True:
            ended, status, usage = os.wait4(process.pid, os.WNOHANG)
            if ended:
                break
            held = max(held, anonymous(process.pid))
            time.sleep(BETWEEN)
        if status:
            errors.seek(0)
            raise SystemExit(f"{' '.join(map(str, command))} ended with {status}: {errors.read().decode()[-2000:]}")
    seconds = {"seconds": time.perf_counter() - start, "processor_seconds": usage.ru_utime + usage.ru_stime}
    return {"peak_mib": usage.ru_maxrss / 1024, "peak_without_files_mib": held, **seconds}


def anonymous(process: int) -> float:
    """Resident MiB of a process that are no pages of files; 0 where it has none yet."""
    with open(f"/proc/{process}/status", encoding="utf-8") as status:
        found = re.search(r"RssAnon:\s+(\d+) kB", status.read())
    return int(found[1]) / 1024 if found else 0.0


def row(n_images: int, n_classes: int, epochs: int, work: Path) -> dict[str, Any]:
    """Both commands on so many embeddings."""
    folder = work / f"{n_images}-{n_classes}"
    make(folder, n_images, n_classes)
    source, classes = f"embeddings:{folder / 'images'}@{folder / 'classes.npy'}", folder / "classes.txt"
    annotated = measured("annotate", source, "--classes", classes, "--candidates", "mass:0.9", "-o", folder / "votes")
    trained = measured("train", source, folder / "votes", "-o", folder / "head", "--epochs", epochs)
    size = (folder / "votes" / "annotations.parquet").stat().st_size
    return {
        "images": n_images, "classes": n_classes, "dimensions": DIMENSIONS, "epochs": epochs,
        "annotations_mib": size / 2**20,
        "annotate": annotated, "train": trained,
    }  # fmt: skip


def main() -> None:
    """Measure, smallest first."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=1)
    committed.add_option(parser)
    options = parser.parse_args()
    rows = committed.read(RESULTS, options.add).get("rows", [])
    for n_images in options.images:
        with tempfile.TemporaryDirectory() as work:
            found = row(n_images, options.classes, options.epochs, Path(work))
        rows = committed.renew(rows, [found], ["images", "classes", "epochs"])
        print(json.dumps(found), flush=True)
        command = "python -m benchmarks.embeddings " + " ".join(sys.argv[1:])
        facts = {"command": command.strip(), "hardware": machine()}
        RESULTS.write_text(json.dumps({**facts, "torch": torch.__version__, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
