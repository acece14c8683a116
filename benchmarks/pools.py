"""Real images for the comparison of learners: written out as files, with annotations and the truth beside them.

A pool is a folder of ``train/``, ``test/``, ``truth.csv`` and ``annotations.parquet``. Its annotations are made by the
command line, as a user would: handwritten digits by ``glyphs``, Fashion-MNIST and FER2013 by five weak networks that
each learned a few labels and a view of their own, CIFAR-10 by three people (CIFAR-10N), and the grid by candidate sets
that are drawn at random. ``bound.parquet`` holds the true labels as if they were annotations: the supervised bound.
"""

import csv
import io
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from zerolabel.cli.demo_data import write_digits

DIGITS = tuple("0123456789")


def zerolabel(*arguments: object) -> None:
    """One call of the command line.

    Raises:
        SystemExit: it failed.
    """
    command = [str(Path(sys.executable).with_name("zerolabel")), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")


@dataclass(frozen=True)
class Pool:
    """Where the images of one pool lie.

    Attributes:
        folder: of its files.
        classes: names.
    """

    folder: Path
    classes: tuple[str, ...]

    @property
    def truth(self) -> Path:
        """True labels of all images, for evaluation alone."""
        return self.folder / "truth.csv"

    @property
    def annotations(self) -> Path:
        """Votes on the images of ``train/``."""
        return self.folder / "annotations.parquet"

    @property
    def bound(self) -> Path:
        """Their true labels, as annotations."""
        return self.folder / "bound.parquet"

    def write(self, part: str, arrays: Iterator[np.ndarray], labels: Sequence[int]) -> list[str]:
        """Images of one part as PNGs, and their labels; returns the file names."""
        place, names = self.folder / part, []
        place.mkdir(parents=True, exist_ok=True)
        with self.truth.open("a", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            if not file.tell():
                rows.writerow(("file_name", "label"))
            for i, (array, label) in enumerate(zip(arrays, labels, strict=True)):
                names.append(f"{part}-{i:05}.png")
                Image.fromarray(array).save(place / names[-1])
                rows.writerow((names[-1], self.classes[label]))
        return names

    def simulate(self, file: Path, kind: str, *options: object) -> None:
        """Annotations of the training images by simulated annotators."""
        truth, labels = self.folder / "train.csv", pd.read_csv(self.truth, dtype=str)
        labels[labels["file_name"].map(lambda name: (self.folder / "train" / name).exists())].to_csv(truth, index=False)
        zerolabel(
            "simulate", self.folder / "train", "--classes", self.names, "--truth", truth,
            "--kind", kind, "-o", file, "--overwrite", *options,
        )  # fmt: skip

    @property
    def names(self) -> Path:
        """File of the class names."""
        path = self.folder / "classes.txt"
        path.write_text("".join(f"{name}\n" for name in self.classes), encoding="utf-8")
        return path


def digits(folder: Path, _: Path) -> Pool:
    """scikit-learn's digits, 1,297 and 500 held out, annotated by ``glyphs``."""
    written = write_digits(folder)
    pool = Pool(folder, written.classes)
    said = folder / "glyphs"
    zerolabel("annotate", folder / "train", "--classes", pool.names, "--vlm", "glyphs", "-o", said, "--resume")
    shutil.copy(said / "annotations.parquet", pool.annotations)
    return pool


def fashion(folder: Path, data: Path) -> Pool:
    """Fashion-MNIST, 100 images a class and 1,000 test images; weak networks of 3 labels a class vote."""
    file = archive(data / "fashion_mnist" / "fashion_mnist_20k_10k.npz")
    pool = Pool(folder, tuple(map(str, file["classes"])))
    chosen = first_of_each(file["y_train"], 100)
    pool.write("train", (file["x_train"][i] for i in chosen), file["y_train"][chosen].tolist())
    pool.write("test", iter(file["x_test"][:1000]), file["y_test"][:1000].tolist())
    pool.simulate(pool.annotations, "instance", "--labeled", 3)
    return pool


def fer2013(folder: Path, data: Path) -> Pool:
    """FER2013, 700 images of each of three expressions and 600 test images; weak networks of 150 labels a class vote.

    Of all seven, networks this weak know a quarter; three leave them about two thirds.
    """
    file = archive(data / "fer2013" / "fer2013_subset_jpg.npz")
    pool = Pool(folder, ("happy", "neutral", "surprise"))
    numbers = np.array([list(file["classes"]).index(name) for name in pool.classes])
    for part, split, count in (("train", 0, 700), ("test", 2, 200)):
        rows = np.flatnonzero((file["split"] == split) & np.isin(file["label"], numbers))
        rows = rows[first_of_each(file["label"][rows], count)]
        pool.write(part, (picture(file, i) for i in rows), np.searchsorted(numbers, file["label"][rows]).tolist())
    pool.simulate(pool.annotations, "instance", "--labeled", 150)
    return pool


def cifar10(folder: Path, data: Path, train: int, test: int) -> tuple[Pool, np.ndarray]:
    """The first images of CIFAR-10's two parts, in the official order; also the official numbers of the first part."""
    file = archive(data / "cifar10" / "cifar10_jpeg_50k_10k.npz")
    pool = Pool(folder, tuple(map(str, file["classes"])))
    numbers = np.empty(0, dtype=int)
    for part, split, count in (("train", 0, train), ("test", 2, test)):
        rows = np.flatnonzero(file["split"] == split)
        rows = rows[np.argsort(file["official_index"][rows])][:count]
        pool.write(part, (picture(file, i) for i in rows), file["label"][rows].tolist())
        numbers = file["official_index"][rows] if part == "train" else numbers
    return pool, numbers


def cifar10n(folder: Path, data: Path, train: int = 5000, test: int = 2000) -> Pool:
    """CIFAR-10 with the three people of CIFAR-10N as annotators; the union of their answers are the candidates."""
    pool, numbers = cifar10(folder, data, train, test)
    said = archive(data / "cifar10_human_labels" / "cifar10n_train.npz")
    votes = folder / "votes.csv"
    with votes.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("task", "worker", "label"))
        for i, number in enumerate(numbers):
            for person in (1, 2, 3):
                label = pool.classes[int(said[f"random_label{person}"][number])]
                rows.writerow((f"train-{i:05}.png", f"person {person}", label))
    zerolabel(
        "import-labels", votes, "--from", "crowd-kit", "--images", folder / "train", "--classes", pool.names,
        "-o", pool.annotations,
    )  # fmt: skip
    return pool


def drawn(q: float, eta: float) -> Callable[[Path, Path], Pool]:
    """CIFAR-10, 1,500 images and 1,000 test images, with candidate sets drawn by (q, eta)."""

    def make(folder: Path, data: Path) -> Pool:
        pool, _ = cifar10(folder, data, 1500, 1000)
        pool.simulate(pool.annotations, "uniform", "--q", q, "--eta", eta)
        return pool

    return make


def first_of_each(labels: np.ndarray, count: int) -> np.ndarray:
    """Rows of the first so many of each class, in their order."""
    return np.sort(np.concatenate([np.flatnonzero(labels == c)[:count] for c in np.unique(labels)]))


def archive(path: Path) -> dict[str, np.ndarray]:
    """All arrays of a file.

    Raises:
        SystemExit: it is not there.
    """
    if not path.is_file():
        raise SystemExit(f"{path} is not there; give --data the folder that holds it, or --cells without this one.")
    with np.load(path) as file:
        return dict(file)


def picture(file: dict[str, np.ndarray], index: int) -> np.ndarray:
    """An image that an archive holds as JPEG."""
    start, stop = file["offsets"][index : index + 2]
    return np.asarray(Image.open(io.BytesIO(file["data"][start:stop].tobytes())))
