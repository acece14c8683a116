"""Which images measure the accuracy, in which order, and what their answers say of it.

Images are drawn in proportion from strata of confidence and agreement, see `zerolabel.audit`, and within a stratum in
the order of their hashed names. That order depends on no answer, prediction or place: a larger sample continues a
smaller one, and a classifier that was trained again is measured on many of the images that were looked at before.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from zerolabel.audit import anytime, count, draw, interval, stratify
from zerolabel.audit.versus import Verdict, verdict
from zerolabel.data.answers import NONE, UNSURE
from zerolabel.errors import InputError
from zerolabel.files import write_text
from zerolabel.files.plain_json import dumps
from zerolabel.review.pool import Pool

LEVEL = 0.95
FIXED = "stratified random sample of a number that was fixed before, exact interval"
LOOKED = "stratified random sample, interval that holds at every look"


@dataclass(frozen=True)
class Measured:
    """Accuracy estimated from answers about randomly drawn images.

    Attributes:
        accuracy: estimated share of right predictions, of the sure answers; none where there is no sure answer.
        low: lower end of the interval; answers of reviewers who were not sure count as wrong.
        high: upper end; they count as right.
        level: coverage of the interval.
        n_answers: images that were looked at.
        n_right: whose prediction is right.
        n_unsure: whose reviewer was not sure.
        n_none: that are of no class.
        n_images: of which they were drawn.
        images: what these are called.
        design: how the images were drawn and the interval computed.
        reviewers: who answered.
    """

    accuracy: float | None
    low: float
    high: float
    level: float
    n_answers: int
    n_right: int
    n_unsure: int
    n_none: int
    n_images: int
    images: str
    design: str
    reviewers: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {**asdict(self), "reviewers": list(self.reviewers)}


def strata_of(pool: Pool) -> Int[np.ndarray, " N"]:
    """Groups of a pool by confidence and agreement; -1 for images that were labeled for training."""
    places = np.flatnonzero(~pool.taught)
    groups = np.full(len(pool), -1, np.int64)
    if len(places):
        groups[places] = stratify(pool.confidence[places], None if pool.agreed is None else pool.agreed[places])
    return groups


@dataclass(frozen=True)
class Sample:
    """The images of a pool in the order in which they are asked about.

    Attributes:
        pool: the images.
        places: those that may be asked about: no person labeled them for training.
        strata: of each of them.
        shuffled: places in ``places``, in a random order.
        order: places in ``places``, in the order in which they are asked about.
    """

    pool: Pool
    places: Int[np.ndarray, " M"]
    strata: Int[np.ndarray, " M"]
    shuffled: Int[np.ndarray, " M"]
    order: Int[np.ndarray, " M"]

    @classmethod
    def of(cls, pool: Pool, seed: int) -> "Sample":
        """Order the images of a pool.

        Raises:
            InputError: every image was labeled for training.
        """
        groups = strata_of(pool) if pool.strata is None else pool.strata
        places = np.flatnonzero(groups >= 0)
        if not len(places):
            raise InputError("every image was labeled for training; none is left to measure with.")
        strata = np.unique(groups[places], return_inverse=True)[1]
        keys = [hashlib.sha256(f"{seed}:{pool.images.file_names[place]}".encode()).digest() for place in places]
        shuffled = np.array(sorted(range(len(places)), key=keys.__getitem__), int)
        return cls(pool, places, strata, shuffled, draw(strata, len(places), shuffled=shuffled))

    def first(self, n: int) -> list[int]:
        """Places in the pool of the first n images."""
        return [int(place) for place in self.places[self.order[:n]]]

    @cached_property
    def differing(self) -> list[int]:
        """Places in the pool of the images on which its two answers differ, in a random order."""
        pool = self.pool
        if pool.compared is None:
            return []
        differ = (pool.predicted != pool.compared) & ~pool.taught
        return [place for place in self.places[self.shuffled].tolist() if differ[place]]

    def verdict(self, labels: Mapping[str, str], ids: Mapping[str, int]) -> Verdict | None:
        """Which of the two answers of the pool is right more often, by the images on which they differ.

        Args:
            labels: by file name: a class, `NONE` or `UNSURE`.
            ids: of the classes.

        Returns:
            None where they differ nowhere.
        """
        pool, given = self.pool, list[str]()
        if pool.compared is None or not self.differing:
            return None
        for place in self.differing:
            label = labels.get(pool.images.file_names[place])
            if label is None:
                break
            right = {int(pool.compared[place]): "second", int(pool.predicted[place]): "first"}
            given.append(right.get(ids.get(label, -2), "neither"))
        return verdict(given, len(self.differing), level=LEVEL)

    @property
    def of_other(self) -> "Sample | None":
        """This sample with the other answer of the pool as the prediction; None if there is none."""
        pool = self.pool
        return None if pool.compared is None else replace(self, pool=replace(pool, predicted=pool.compared))

    @cached_property
    def digest(self) -> str:
        """Changes where the images, or the order in which they are asked about, change."""
        told = [self.pool.images.file_names[place] for place in self.places[self.order]]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()

    def measure(
        self, labels: Mapping[str, str], ids: Mapping[str, int], planned: int, most: int, reviewers: tuple[str, ...]
    ) -> Measured | None:
        """The accuracy of the predictions, from one label of each image that was looked at.

        Answers count up to the first image of the order that has none, so that what was looked at is a random sample
        whoever goes ahead.

        Args:
            labels: by file name: a class, `NONE` or `UNSURE`.
            ids: of the classes.
            planned: number of answers that was fixed before the first of them; with exactly as many, the interval
                need not allow for other looks.
            most: answers that count at most: what was looked at for another question beyond them does not.
            reviewers: who gave the labels.

        Returns:
            None where no image was looked at.
        """
        given = self._given(labels)[:most]
        n, unsure = len(given), np.array([label == UNSURE for label in given], bool)
        if not n:
            return None
        predicted = self.pool.predicted[self.places[self.order[:n]]].tolist()
        right = np.array([ids.get(label) == one for label, one in zip(given, predicted, strict=True)], bool)
        drawn = self.order[:n]
        sure = count(self.strata, drawn[~unsure], right[~unsure])
        low, high = self._ends(drawn, right, unsure, n == planned)
        return Measured(
            sure.estimate if sure.drawn.sum() else None,
            low,
            high,
            LEVEL,
            n,
            int(right.sum()),
            int(unsure.sum()),
            given.count(NONE),
            len(self.places),
            self.pool.words,
            FIXED if n == planned else LOOKED,
            reviewers,
        )

    def _given(self, labels: Mapping[str, str]) -> list[str]:
        """Labels in the order of the images, up to the first that has none."""
        given: list[str] = []
        for place in self.order.tolist():
            label = labels.get(self.pool.images.file_names[self.places[place]])
            if label is None:
                break
            given.append(label)
        return given

    def _ends(
        self, drawn: Int[np.ndarray, " n"], right: Bool[np.ndarray, " n"], unsure: Bool[np.ndarray, " n"], fixed: bool
    ) -> tuple[float, float]:
        """The interval; who is not sure is taken to be wrong for its lower end and right for its upper one."""
        if fixed:
            low, high = (interval(count(self.strata, drawn, one), level=LEVEL) for one in (right, right | unsure))
        else:
            low, high = (anytime(self.strata, drawn, one, level=LEVEL) for one in (right, right | unsure))
        return low.low, high.high


def noted(path: Path, sample: Sample) -> int | None:
    """Planned number of answers at the first one; None if not planned or for another classifier."""
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        return int(known["n"]) if known["digest"] == sample.digest else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def note(path: Path, sample: Sample, n: int, *, again: bool = False) -> int:
    """Write down how many answers are planned, where that is not known yet; returns the number that counts.

    Args:
        path: of the note.
        sample: the images.
        n: answers that are planned now.
        again: whether nobody answered yet, so that the plan may change.
    """
    known = None if again else noted(path, sample)
    if known is None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, dumps({"digest": sample.digest, "n": n}, indent=1) + "\n")
    return n if known is None else known
