"""Transductive solvers on scikit-learn's handwritten digits, and their cost: ``python -m benchmarks.transduction``.

Accuracy is on all digits and on pools whose class sizes fall geometrically, which class is largest drawn with three
seeds; nothing else is random. Cost is at made-up features, each solver in a process of its own, with one thread: the
processor's seconds, which other programs on the machine change little, beside the clock's. The table goes to the screen
and to ``benchmarks/results/transduction.json``, which keeps the costs at other sizes: ``--only cost --size 100000 1000
512`` adds some.
"""

import argparse
import json
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from jaxtyping import Float, Int
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn import functional

from zerolabel import vlms
from zerolabel.adaptation.transduction import defaults, prototypes, solve, zero_shot
from zerolabel.annotate import annotate, text_features
from zerolabel.cli.demo_data import write_digits
from zerolabel.data.classes import Classes
from zerolabel.data.images import ImageSet
from zerolabel.data.label_files import Labels
from zerolabel.vlms.glyphs import TEMPLATES

SEEDS = (0, 1, 2)
RATIOS = (1, 10, 50)
WORK = Path("build/benchmarks/transduction")
RESULTS = Path("benchmarks/results/transduction.json")
SIZE = ("n_images", "n_classes", "dimensions")
ROWS: dict[str, tuple[str, dict[str, Any]]] = {
    "stata": ("stata", {}),
    "stata, prior estimated": ("stata", {"prior": "estimated"}),
    "moon": ("moon", {}),
    "moon, prior estimated": ("moon", {"prior": "estimated"}),
    "transclip": ("transclip", {}),
    "transclip, prior estimated": ("transclip", {"prior": "estimated"}),
    "zlap": ("zlap", {}),
    "zlap, prior estimated": ("zlap", {"prior": "estimated"}),
    "em_dirichlet": ("em_dirichlet", {}),
    "em_dirichlet, hard": ("em_dirichlet", {"hard": True}),
    "em_dirichlet, shares equal": ("em_dirichlet", {"partition": 0.0}),
    "em_dirichlet, shares estimated": ("em_dirichlet", {"partition": 1.0}),
    "knn": ("knn", {}),
}


def digits() -> tuple[Float[Tensor, "N D"], Float[Tensor, "A C D"], float, Int[Tensor, " N"]]:
    """Features of all digits and of their names, the scale, and the truth."""
    made = write_digits(WORK / "images")
    encoder, classes = vlms.load("glyphs"), Classes(made.classes)
    labels, features, truth = Labels.read(made.truth, classes), [], []
    for folder in (made.train, made.test):
        done = annotate(ImageSet.open(folder), encoder, classes, TEMPLATES, cache=WORK / "cache")
        features.append(done.features.clone())
        others = {name for name, _ in labels.rows} - set(done.annotations.file_names)
        truth.append(labels.match(done.annotations.file_names, done.annotations.sha256, others))
    return torch.cat(features), text_features(encoder, classes, TEMPLATES), encoder.logit_scale, torch.cat(truth)


def pool(truth: Int[Tensor, " N"], ratio: int, seed: int) -> Int[Tensor, " M"]:
    """Images in which the largest class has ``ratio`` times the smallest; all of them where that is 1."""
    if ratio == 1:
        return torch.arange(len(truth))
    generator = torch.Generator().manual_seed(seed)
    most, kept = int(truth.bincount().min()), []
    for rank, c in enumerate(torch.randperm(10, generator=generator).tolist()):
        own = (truth == c).nonzero().squeeze(1)
        kept.append(own[torch.randperm(len(own), generator=generator)][: round(most * ratio ** (-rank / 9))])
    return torch.cat(kept)


def few_classes(truth: Int[Tensor, " N"], seed: int) -> Int[Tensor, " M"]:
    """64 images of two of the ten classes."""
    generator = torch.Generator().manual_seed(seed)
    two = torch.randperm(10, generator=generator)[:2]
    own = torch.isin(truth, two).nonzero().squeeze(1)
    return own[torch.randperm(len(own), generator=generator)[:64]]


def accuracies() -> Iterator[dict[str, Any]]:
    """Every row on every pool."""
    features, texts, scale, truth = digits()
    pools = {f"ratio {r}": [pool(truth, r, s) for s in (SEEDS if r > 1 else (0,))] for r in RATIOS}
    pools["64 images of 2 classes"] = [few_classes(truth, seed) for seed in SEEDS]
    for row, (name, options) in {"zero-shot": ("", {}), **ROWS}.items():
        for key, members in pools.items():
            right, by_class = [], []
            for own in members:
                if name:
                    posterior = solve(name, features[own], texts, scale, **insist(name), **options)
                else:
                    posterior = zero_shot(features[own], prototypes(texts), scale)
                hit = (posterior.argmax(1) == truth[own]).float()
                right.append(float(hit.mean()))
                by_class.append(mean(float(hit[truth[own] == c].mean()) for c in truth[own].unique().tolist()))
            yield {"row": row, "pool": key, "accuracy": right, "mean_per_class_accuracy": by_class}


def insist(name: str) -> dict[str, float]:
    """Options under which a solver for few of many classes takes all of them, too."""
    return {"present": 1.0} if "present" in defaults(name) else {}


def cost(name: str, images: int, classes: int, dimensions: int) -> dict[str, float]:
    """Of one solver in this process, at directions scattered around each class name's."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    texts = functional.normalize(torch.randn(classes, dimensions, generator=generator), dim=1)
    spread = torch.randn(images, dimensions, generator=generator) * (1.5 / dimensions**0.5)
    owners = torch.randint(classes, (images,), generator=generator)
    features = functional.normalize(spread.add_(texts[owners]), dim=1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    clock, processor = time.perf_counter(), time.process_time()
    posterior = solve(name, features, texts, 20.0, **insist(name))
    return {
        "seconds": time.perf_counter() - clock,
        "processor_seconds": time.process_time() - processor,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "before_mib": before / 1024,
        "accuracy": float((posterior.argmax(1) == owners).float().mean()),
    }


def costs(images: int, classes: int, dimensions: int) -> Iterator[dict[str, Any]]:
    """Of every solver, one process after the other."""
    for name in dict.fromkeys(name for name, _ in ROWS.values()):
        size = [str(images), str(classes), str(dimensions)]
        command = [sys.executable, "-m", "benchmarks.transduction", "--one", name, "--size", *size]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        yield {"method": name, **dict(zip(SIZE, (images, classes, dimensions), strict=True)), **json.loads(told)}


def table(found: list[dict[str, Any]], spent: list[dict[str, Any]]) -> Iterator[Table]:
    """Accuracy by pool, and cost."""
    pools = list(dict.fromkeys(cell["pool"] for cell in found))
    first = Table("", *pools, title="accuracy")
    for row in dict.fromkeys(cell["row"] for cell in found):
        mine = {cell["pool"]: cell for cell in found if cell["row"] == row}
        first.add_row(row, *(f"{100 * mean(mine[key]['accuracy']):.2f}" for key in pools))
    yield first
    second = Table("method", *SIZE, "processor s", "s", "peak MiB", title="cost")
    for one in spent:
        numbers = (one["processor_seconds"], one["seconds"], one["peak_mib"])
        second.add_row(one["method"], *(f"{one[key]:,}" for key in SIZE), *(f"{number:.0f}" for number in numbers))
    yield second


def main() -> None:
    """Measure, write and show."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--one", help="measure the cost of this solver in this process alone")
    parser.add_argument("--size", nargs=3, type=int, default=(50_000, 100, 512), help="images, classes, dimensions")
    parser.add_argument("--only", choices=("accuracy", "cost"), help="renew one half of the file")
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(cost(arguments.one, *arguments.size)))
        return
    before = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"accuracy": [], "cost": []}
    found = before["accuracy"] if arguments.only == "cost" else list(accuracies())
    spent = before["cost"]
    if arguments.only != "accuracy":
        new = list(costs(*arguments.size))
        spent = [one for one in spent if not all(one[key] == new[0][key] for key in SIZE)] + new
    facts = {
        "command": "python -m benchmarks.transduction",
        "date": datetime.now(UTC).date().isoformat(),
        "hardware": f"one thread, {platform.machine()}; other programs ran beside it, so read processor_seconds",
        "torch": torch.__version__,
        "accuracy": found,
        "cost": spent,
    }
    RESULTS.write_text(json.dumps(facts, indent=1) + "\n")
    for shown in table(found, spent):
        Console(width=140).print(shown)


if __name__ == "__main__":
    main()
