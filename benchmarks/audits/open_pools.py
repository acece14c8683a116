"""Pools in which some images are of a class that nobody named, with the score that is cut: large for named classes."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.audits.cells import unit

DRAWS = 5
"""Random choices of the classes that nobody names, where the data does not say which."""


@dataclass(frozen=True)
class OpenPool:
    """One pool.

    Attributes:
        name: of the data, and how many classes nobody named.
        draw: number of the random choice of these classes.
        scores: of the images (N), large for named classes.
        unknown: whether each image is of a class that nobody named (N).
    """

    name: str
    draw: int
    scores: np.ndarray
    unknown: np.ndarray


def drawn(classes: int, n: int, draw: int) -> np.ndarray:
    """Classes that nobody names."""
    return np.random.default_rng(draw).permutation(classes)[:n]


def pets(data: Path) -> Iterator[OpenPool]:
    """Largest cosine of CLIP B/32: the twelve breeds without text among all, and six of the other 25 among these."""
    file = np.load(data / "real_vlm" / "oxford_pets_clip_vitb32.npz")
    labels, named = file["test_labels"], np.flatnonzero(np.isfinite(file["text_b32"][:, :, 0]).all(0))
    cosines = unit(file["test"]) @ unit(file["text_b32"][0, named]).T
    yield OpenPool("Pets, 12 of 37", 0, cosines.max(1).astype(float), ~np.isin(labels, named))
    own = np.isin(labels, named)
    for draw in range(DRAWS):
        left = drawn(len(named), 6, draw)
        scores = np.delete(cosines[own], left, axis=1).max(1)
        yield OpenPool("Pets, 6 of 25", draw, scores.astype(float), np.isin(labels[own], named[left]))


def caltech(data: Path) -> Iterator[OpenPool]:
    """Largest cosine of CLIP B/32: the 33 classes without text among all, and ten of the other 67 among these."""
    file = np.load(data / "real_vlm" / "caltech101_clip_vitb32_vitb16.npz")
    labels, there = file["test_labels"], np.isfinite(file["text_b32"][:, :, 0])
    named = np.flatnonzero(there.any(0))
    cosines = unit(file["test_b32"]) @ unit(file["text_b32"][there.argmax(0)[named], named]).T
    yield OpenPool("Caltech, 33 of 100", 0, cosines.max(1).astype(float), ~np.isin(labels, named))
    own = np.isin(labels, named)
    for draw in range(DRAWS):
        left = drawn(len(named), 10, draw)
        scores = np.delete(cosines[own], left, axis=1).max(1)
        yield OpenPool("Caltech, 10 of 67", draw, scores.astype(float), np.isin(labels[own], named[left]))


def digits(_: Path) -> Iterator[OpenPool]:
    """Largest probability of a logistic regression that learned 300 images of seven digits."""
    images, labels = load_digits(return_X_y=True)
    for draw in range(DRAWS):
        left = drawn(10, 3, draw)
        order = np.random.default_rng(draw).permutation(len(labels))
        train, test = order[:300], order[300:]
        train = train[~np.isin(labels[train], left)]
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200)).fit(images[train], labels[train])
        yield OpenPool("digits, 3 of 10", draw, model.predict_proba(images[test]).max(1), np.isin(labels[test], left))


def fashion(data: Path) -> Iterator[OpenPool]:
    """Largest probability of extra trees that learned 60 images of each of eight classes, on 5,000 test images."""
    file = np.load(data / "fashion_mnist" / "fashion_mnist_20k_10k.npz")
    train, test = (file[name].reshape(-1, 784)[:: 2 if name == "x_test" else 1] for name in ("x_train", "x_test"))
    given, truth = file["y_train"].astype(int), file["y_test"].astype(int)[::2]
    for draw in range(DRAWS):
        left = drawn(10, 2, draw)
        rows = np.concatenate([np.flatnonzero(given == c)[:60] for c in range(10) if c not in left])
        model = ExtraTreesClassifier(60, random_state=0).fit(train[rows], given[rows])
        yield OpenPool("Fashion, 2 of 10", draw, model.predict_proba(test).max(1), np.isin(truth, left))


POOLS = (pets, caltech, digits, fashion)


def pools(data: Path) -> Iterator[OpenPool]:
    """All pools whose data is there."""
    for make in POOLS:
        try:
            yield from make(data)
        except FileNotFoundError as error:
            print(f"left out, {error.filename} is not there")


__all__ = ["OpenPool", "pools"]
