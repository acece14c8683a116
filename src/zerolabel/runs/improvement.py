"""A finished run made better by answers: questions, a training on the answers, and a look at what changed.

Round k trains into a folder of its own. Some images are drawn at random before the first round and measure every
round; they are never learned. Others are chosen to teach, and those on which two rounds differ are asked about to say
which of the two is better. A round that is found worse than the best so far is kept and not gone on with.
"""

import json
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from zerolabel import report
from zerolabel.annotate import embed
from zerolabel.annotations.digest import Digest, differing, in_words, of_images
from zerolabel.data.answers import CHOSEN, NONE, RANDOM, UNSURE, consensus
from zerolabel.data.images import ImageSet
from zerolabel.errors import InputError
from zerolabel.files import delimited, replacing, write_text
from zerolabel.files.plain_json import dumps
from zerolabel.report.improved import build_improvement
from zerolabel.review import Pool, Review, Subject, open_subject
from zerolabel.review.recording import findings, put
from zerolabel.review.review import Counts
from zerolabel.runs import pipeline
from zerolabel.runs.folder import Folder
from zerolabel.runs.planning.training import stacks_labels
from zerolabel.runs.redeployment import settle
from zerolabel.runs.stages.training import needs_features
from zerolabel.runs.workspace import Progress, Workspace

RECORD, PAGE = "improve.json", "improve.html"


@dataclass(frozen=True)
class Plan:
    """Numbers of answers that are asked for.

    Attributes:
        check: images drawn at random once, which measure every round.
        teach: images chosen to teach in each round.
        changed: images at most, of those on which two rounds differ.
    """

    check: int = 50
    teach: int = 50
    changed: int = 20


@dataclass(frozen=True)
class Round:
    """One training, or the run that was begun with.

    Attributes:
        number: 0 for the run that was begun with.
        folder: of the run.
        labels: human labels that it learned.
        answers: that were given before it, of any kind.
        deployed: "student" or "zero-shot".
        accuracy: measured on the images drawn at random; None without answers.
        low: lower end of its interval.
        high: upper end.
        better: "newer", "older", "neither" or None while it is open: the outcome of the comparison with the best
            round before it.
    """

    number: int
    folder: str
    labels: int
    answers: int
    deployed: str
    accuracy: float | None = None
    low: float | None = None
    high: float | None = None
    better: str | None = None


class Improvement:
    """Rounds of answers and trainings in one folder.

    Args:
        run: folder of the finished run.
        folder: where rounds, answers and the page are written.
        plan: numbers of answers.
        cache: folder of image features.
        progress: displays the steps of a training.
        seed: of the images that are drawn.

    Raises:
        InputError: the run is not finished, or the folder belongs to another run, or to other images.
    """

    def __init__(self, run: Path, folder: Path, plan: Plan, *, cache: Path, progress: Progress, seed: int = 0) -> None:
        self.run, self.folder, self.plan = run, folder, plan
        self.cache, self.progress, self.seed = cache, progress, seed
        self.base = open_subject(run)
        if self.base.run is None:
            raise InputError(f"{run} is no finished run; give the folder that zerolabel run wrote.")
        self.made_of = _digest(run)
        self.rounds = self._read() or [Round(0, str(run), int(self.base.learned.taught.sum()), 0, _deployed(run))]

    @property
    def best(self) -> Round:
        """The last round that was not found worse than the best before it."""
        return best_of(self.rounds)

    def questions(self, *, teach: bool = True) -> Review:
        """The review before the next training: of the newest round beside the best one before it.

        Args:
            teach: False after the last training, when only what changed is of interest.
        """
        if not (self.folder / RECORD).is_file():
            self._write()
        subject = self._subject()
        counts = Counts(self.plan.check, self.plan.teach if teach else 0, self.plan.changed)
        features = self._features(subject) if teach else None
        return Review(subject, n=counts.check, seed=self.seed, features=features, guided=counts)

    def record(self, review: Review) -> None:
        """Take in the results of the answers so far, and write the page."""
        verdict = review.verdict
        if verdict is not None and len(self.rounds) > 1 and verdict.answers:
            names = {"first": "newer", "second": "older", "neither": "neither"}
            better = None if verdict.better is None else names[verdict.better]
            self.rounds[-1] = replace(self.rounds[-1], better=better)
        self.rounds = [self._measured(one) for one in self.rounds]
        self._write()

    def train(self, review: Review) -> Round:
        """Train the next round on all answers that teach; a round that was interrupted continues.

        Raises:
            InputError: no answer teaches, or an input of the run changed.
        """
        number = len(self.rounds)
        target, labels = self.folder / f"round-{number}", self.folder / f"labels-{number}.csv"
        if not target.is_dir():
            self._write_labels(review, labels)
        config = Folder(self.run).config()
        data = replace(config.data, few_shot=str(labels))
        training = replace(config.training, stack=stacks_labels(data, config.annotation))
        config = replace(config, data=data, training=training)
        workspace = Workspace(Folder(target), self.progress, self.cache, config.training.device)
        with pipeline.begun(config, workspace, resume=target.is_dir(), overwrite=False):
            pipeline.run(config, workspace)
        learned = int(open_subject(target).learned.taught.sum())
        made = Round(number, str(target), learned, len(review.ledger.answers), _deployed(target))
        self.rounds.append(self._measured(made))
        self._write()
        return self.rounds[-1]

    def _subject(self) -> Subject:
        """The newest round's answers beside those of the best round before it, with the sample of the first."""
        newest, found = self.rounds[-1], open_subject(Path(self.rounds[-1].folder))
        measured = replace(found.measured, strata=self._strata(found.measured))
        if len(self.rounds) > 1:
            before = best_of(self.rounds[:-1])
            older = open_subject(Path(before.folder)).measured
            names = (f"round {newest.number}", f"round {before.number}" if before.number else "the first run")
            measured = replace(measured, compared=_by_name(older, older.predicted, measured), names=names)
        learned = measured if found.learned is found.measured else found.learned
        return replace(found, place=self.folder, measured=measured, learned=learned, run=None)

    def _strata(self, pool: Pool) -> Int[np.ndarray, " N"]:
        """Strata of the first run, so that the same images measure every round."""
        base = self.base.measured
        return _by_name(base, np.zeros(len(base), int) if base.strata is None else base.strata, pool)

    def _measured(self, one: Round) -> Round:
        """A round with its accuracy on the images drawn at random; the files of a trained round state it as well."""
        folder = Path(one.folder)
        found = open_subject(folder)
        fixed = replace(found.measured, strata=self._strata(found.measured))
        review = Review(replace(found, place=self.folder, measured=fixed), n=self.plan.check, seed=self.seed)
        measured = review.measured
        if measured is None:
            return one
        if one.number:
            put(folder, findings(review))
            if settle(folder, self.cache) is None:
                report.write(folder)
        found_now = replace(one, deployed=_deployed(folder), accuracy=measured.accuracy)
        return replace(found_now, low=measured.low, high=measured.high)

    def _features(self, subject: Subject) -> Float[np.ndarray, "N D"] | None:
        """Features of the training images, where the run reads any."""
        config = Folder(self.run).config()
        if not needs_features(config.training):
            return None
        workspace = Workspace(Folder(self.run), self.progress, self.cache, config.training.device)
        images = ImageSet.open(config.data.images).named(subject.learned.images.file_names)
        embedding = embed(images, workspace.model(config.annotation.required_encoder), cache=self.cache)
        deque(embedding.steps, 0)
        return np.asarray(embedding.features.numpy()) if not embedding.skipped else None

    def _write_labels(self, review: Review, path: Path) -> None:
        """Write all human labels so far: those of the run, and the answers that teach."""
        random = {answer.file_name for answer in review.ledger.answers if answer.why.startswith(RANDOM)}
        taught = consensus(answer for answer in review.ledger.answers if answer.why.startswith(CHOSEN))
        pool, classes = self.base.learned, self.base.classes
        given = {} if pool.labels is None else dict(zip(pool.images.file_names, pool.labels.tolist(), strict=True))
        rows = {name: classes[label] for name, label in given.items() if label >= 0}
        before = len(rows)
        rows |= {name: said for name, said in taught.items() if said not in (NONE, UNSURE) and name not in random}
        if len(rows) == before:
            raise InputError("no answer names the class of an image that teaches; answer some, then train.")
        with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
            delimited.write(file, [("file_name", "label"), *rows.items()])

    def _read(self) -> list[Round]:
        path = self.folder / RECORD
        if not path.is_file():
            return []
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            rounds = [Round(**one) for one in record["rounds"]]
            then: Digest = dict(record.get("made_of", self.made_of))
        except (OSError, ValueError, KeyError, TypeError):
            raise InputError(f"{path} is damaged; give -o another folder.") from None
        if rounds[0].folder != str(self.run):
            raise InputError(f"{self.folder} improves {rounds[0].folder}; give -o another folder for {self.run}.")
        if changed := differing(then, self.made_of):
            raise InputError(f"the {in_words(changed)} changed since {self.folder} was begun; give -o another folder.")
        return rounds

    def _write(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        record = {"best": self.best.number, "plan": asdict(self.plan), "rounds": [asdict(one) for one in self.rounds]}
        record["made_of"] = self.made_of
        write_text(self.folder / RECORD, dumps(record, indent=1) + "\n")
        write_text(self.folder / PAGE, build_improvement(record))


def best_of(rounds: Sequence[Round]) -> Round:
    """The last of some rounds that was not found worse than the best before it."""
    found = rounds[0]
    for one in rounds[1:]:
        found = found if one.better == "older" else one
    return found


def _by_name(source: Pool, values: Int[np.ndarray, " N"], pool: Pool) -> Int[np.ndarray, " M"]:
    """Values of one pool for the images of another, -1 for those that it lacks."""
    known = dict(zip(source.images.file_names, values.tolist(), strict=True))
    return np.array([known.get(name, -1) for name in pool.images.file_names], int)


def _digest(run: Path) -> Digest:
    """Hashes of the images that a run learned from, and of those that were held out."""
    data = Folder(run).config().data
    parts = {"": data.images, "held-out ": data.test_images}
    opened = {part: ImageSet.open(place) for part, place in parts.items() if place is not None}
    return {f"{part}{name}": value for part, images in opened.items() for name, value in of_images(images).items()}


def _deployed(run: Path) -> str:
    """The classifier that a run deploys."""
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    return str(metrics.get("deployed", "student"))


__all__ = ["Improvement", "Plan", "Round", "best_of"]
