"""Which training images a run is given, and which of their labels: files beside the unpacked data set."""

import csv
import math
from collections import defaultdict
from pathlib import Path

import torch

from benchmarks.papers.data_sets import Unpacked
from benchmarks.papers.plans import Pool
from zerolabel.data.classes import load_classes
from zerolabel.files import replacing, write_text


def by_class(place: Unpacked) -> dict[str, list[str]]:
    """Training images of each class, in the order of `classes.txt`."""
    groups: dict[str, list[str]] = {name: [] for name in load_classes(place.classes).names}
    for name, label in place.labels("train"):
        groups[label].append(name)
    return groups


def class_shares(pool: Pool, n_classes: int) -> list[float]:
    """Size of each class's part relative to the first one's."""
    return [pool.ratio ** (-c / max(n_classes - 1, 1)) for c in range(n_classes)]


def images(place: Unpacked, pool: Pool, seed: int) -> Path:
    """The training folder, or a list of some of its images drawn with a seed."""
    if not pool.most:
        return place.images("train")
    file = place.folder / f"pool-{pool.most}-{pool.ratio:g}-{seed}.txt"
    groups, generator, kept = by_class(place), torch.Generator().manual_seed(seed), []
    for names, share in zip(groups.values(), class_shares(pool, len(groups)), strict=True):
        order = torch.randperm(len(names), generator=generator).tolist()
        kept += [names[i] for i in order[: max(1, round(pool.most * share))]]
    write_text(file, "".join(f"train/{name}\n" for name in sorted(kept)))
    return file


def seen_classes(place: Unpacked, pool: Pool, seed: int) -> list[str]:
    """The classes whose labels are all given, drawn with a seed; none where none are."""
    names = load_classes(place.classes).names
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(seed)).tolist()
    return [names[i] for i in sorted(order[: math.floor(pool.seen * len(names))])]


def labels(place: Unpacked, pool: Pool, seed: int) -> Path | None:
    """CSV of the labels that the method is given; none where it is given none."""
    if not pool.shots and not pool.seen:
        return None
    groups, generator = by_class(place), torch.Generator().manual_seed(seed)
    chosen: dict[str, list[str]] = defaultdict(list)
    for name in seen_classes(place, pool, seed):
        chosen[name] = groups[name]
    for name, members in groups.items() if pool.shots else ():
        chosen[name] = [members[i] for i in torch.randperm(len(members), generator=generator).tolist()[: pool.shots]]
    file = place.folder / f"labels-{pool.shots}-{pool.seen:g}-{seed}.csv"
    with replacing(file) as partial, partial.open("w", encoding="utf-8", newline="") as out:
        rows = [(image, name) for name, members in chosen.items() for image in sorted(members)]
        csv.writer(out).writerows([("file_name", "label"), *rows])
    return file


def symmetric(place: Unpacked, share: float) -> Path:
    """CSV of the confusion matrix that draws a share of the labels anew, evenly from all classes."""
    n = len(load_classes(place.classes).names)
    matrix = torch.eye(n) * (1 - share) + share / n
    file = place.folder / f"symmetric-{share:g}.csv"
    with replacing(file) as partial, partial.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows(matrix.tolist())
    return file
