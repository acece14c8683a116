"""A review under way: what is asked next, what was answered, and what it says of the accuracy."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Float

from zerolabel.audit.versus import Verdict
from zerolabel.data.answers import CHOSEN, DIFFERING, NONE, RANDOM, TAUGHT, UNSURE, WITHDRAWN, Answer, consensus, latest
from zerolabel.errors import InputError
from zerolabel.review.ledger import Ledger, now
from zerolabel.review.pool import Pool, Subject
from zerolabel.review.questions import Choose, Guaranteed, Question, Teach, Unknown, given_to
from zerolabel.review.questions.question import NO_CLASS, NOT_SURE
from zerolabel.review.sampling import Measured, Sample, note, noted

Kind = Literal["measure", "compare", "correct", "choose", "guarantee", "teach", "unknown"]
"""A list of images: drawn at random, those on which two answers differ, those that were marked wrong, or those of a
question of `zerolabel.review.questions`."""
CONFIRMED, MARKED, CORRECTED = f"{CHOSEN}: confirmed", f"{CHOSEN}: marked wrong", f"{CHOSEN}: corrected"
"""Why shown: in the grid, where the prediction was right or wrong; and after it was marked wrong."""
WORDS = {"none": NONE, "unsure": UNSURE}
"""Answers besides the classes."""
DEFAULT = 50
"""Images that measure the accuracy."""
PAGE = 24
"""Images on one page of the grid."""


@dataclass(frozen=True)
class Counts:
    """Numbers of answers of a review that leads from question to question, and asks no others.

    Attributes:
        check: images drawn at random.
        teach: images chosen to teach; 0 asks for none.
        changed: images at most, of those on which two answers differ.
    """

    check: int
    teach: int
    changed: int


class Review:
    """One review: any number of reviewers, one file of answers.

    Args:
        subject: what it is about.
        n: how many images measure the accuracy; by default as many as were planned before, or `DEFAULT`.
        seed: of their order.
        max_error: share of wrong labels that a guarantee allows; none asks for no guarantee.
        features: of the images that training sees, to choose those that teach most.
        guided: numbers of answers, where the page leads through the questions.

    Raises:
        InputError: the file of answers cannot be read, or a class is called like another answer.
    """

    def __init__(
        self,
        subject: Subject,
        *,
        n: int | None = None,
        seed: int = 0,
        max_error: float | None = None,
        features: Float[np.ndarray, "N D"] | None = None,
        guided: Counts | None = None,
    ) -> None:
        taken = [name for name in subject.classes if name in (NONE, UNSURE)]
        if taken:
            raise InputError(f"the class {taken[0]!r} is called like another answer of the review; rename it.")
        self.subject = subject
        self.ledger = Ledger(subject.place / "answers.csv")
        self.ids = {name: place for place, name in enumerate(subject.classes)}
        self.places = {name: place for place, name in enumerate(subject.learned.images.file_names)}
        self.sampled = Sample.of(subject.measured, seed)
        self.plan = subject.place / "plan.json"
        self.n = min(n or noted(self.plan, self.sampled) or DEFAULT, len(self.sampled.places))
        self.sample = frozenset(self.sampled.first(self.n))
        self.guided = guided
        self.questions = self._questions(n, seed, max_error, features)

    @property
    def measured(self) -> Measured | None:
        """The measured accuracy so far; None without answers."""
        return self._measure(self.sampled)

    @property
    def measured_other(self) -> Measured | None:
        """Measured accuracy of the other answer on the same images; None if there is none."""
        return None if self.sampled.of_other is None else self._measure(self.sampled.of_other)

    def _measure(self, sample: Sample) -> Measured | None:
        answers = self._random
        if not any(answer.why == RANDOM for answer in answers):
            return None
        reviewers = tuple(sorted({reviewer for _, reviewer in latest(answers)}))
        return sample.measure(consensus(answers), self.ids, self.planned, self._most, reviewers)

    @property
    def verdict(self) -> Verdict | None:
        """Which of two classifiers is better, as far as the answers tell; none where there are no two that differ."""
        return self.sampled.verdict(consensus(self._random), self.ids)

    @property
    def remaining(self) -> int:
        """Number of sampled images without an answer."""
        return self.n - len(self._answered(self.sample))

    @property
    def first(self) -> Kind:
        """The question that the page begins with."""
        if self.guided is not None:
            return next(iter(self.open_kinds), "compare" if self.verdict is not None else "measure")
        return "choose" if "choose" in self.questions else "measure"

    def kinds(self, wanted: Sequence[str]) -> list[Kind]:
        """Questions by their names; the first one of the page where none is named.

        Raises:
            InputError: there is no such question here.
        """
        here = [kind for kind in get_args(Kind) if kind in (*self.questions, "measure", "compare")]
        for name in wanted:
            if name not in here:
                raise InputError(f"--question {name}: there is no such question here; give one of {', '.join(here)}.")
        default = [self.first, *(["guarantee"] if "guarantee" in self.questions else [])]
        return [kind for kind in here if kind in (wanted or default)]

    def pool(self, kind: str) -> Pool:
        """The images of a list of questions, or of the grid."""
        if kind in self.questions:
            return self.questions[kind].pool
        return self.subject.measured if kind in ("measure", "compare") else self.subject.learned

    def queue(self, kind: Kind, turn: int = 0, of: int = 1) -> dict[str, Any]:
        """A list of questions: places of images, what was answered, and what may be shown beside the image.

        Args:
            kind: which list.
            turn: of a reviewer, from 0; each begins with other images, so that several do not meet.
            of: number of reviewers.
        """
        if kind in self.questions:
            question, given = self.questions[kind], self.given(kind)
            items = question.items(given)
            shown = dict.fromkeys(given.keys() & set(items), None)
            standing = asdict(question.standing(given))
            return {"items": items, "answers": self._words(given, items), "shown": shown, "standing": standing}
        if kind != "correct":
            drawn = self.sampled.first(self.n) if kind == "measure" else self._differing_in_order
            items = [place for step in range(of) for place in drawn[(turn + step) % of :: of]]
            return {"items": items, "answers": self._answered(items), "shown": {}}
        items = self._marked
        return {"items": items, "answers": {}, "shown": {place: self._about(self.pool(kind), place) for place in items}}

    def following(self, kind: Kind) -> int | None:
        """The next image that a question asks about; none where no further answer is needed."""
        if kind == "compare" and (self.verdict is None or self.verdict.better is not None):
            return None
        queue = self.queue(kind)
        if kind in self.questions and queue["standing"]["over"]:
            return None
        return next((place for place in queue["items"] if place not in queue["answers"]), None)

    def answer(self, kind: Kind, place: int, choice: int | str, reviewer: str) -> dict[str, Any]:
        """Save what a reviewer says of an image.

        Args:
            kind: the list that the image is from.
            place: of the image.
            choice: class id, or one of `WORDS`, or "" to take the answer back.
            reviewer: who says it.

        Returns:
            What may be shown now: the prediction, and where the measurement stands.

        Raises:
            ValueError: the image was not asked about, or there is no such answer.
        """
        if kind in self.questions:
            return self._answer_question(self.questions[kind], place, choice, reviewer)
        asked = {"measure": self.sample, "compare": self._differing, "correct": self._marked_once}[kind]
        if place not in asked:
            raise ValueError("the image is not asked about")
        label = self._label(choice)
        reasons = {"measure": RANDOM, "compare": DIFFERING, "correct": CORRECTED if label else MARKED}
        pool = self.pool(kind)
        _ = self.planned
        self.ledger.add(
            [Answer(pool.images.file_names[place], label or self._taken_back(kind), reviewer, now(), reasons[kind])]
        )
        about = self._about(pool, place) if label else None
        right = None if label in (UNSURE, WITHDRAWN) else self.ids.get(label) == int(pool.predicted[place])
        return {"about": about, "right": right, **self.progress()}

    def _answer_question(self, question: Question, place: int, choice: int | str, reviewer: str) -> dict[str, Any]:
        if place not in question.items(self.given(question.kind)):
            raise ValueError("the image is not asked about")
        label, name = self._label(choice), question.pool.images.file_names[place]
        self.ledger.add([Answer(name, label, reviewer, now(), question.why(place))])
        about = self._about(question.pool, place) if label and question.kind != "choose" else None
        right = None if about is None or label == UNSURE else self.ids.get(label) == int(question.pool.predicted[place])
        standing = asdict(question.standing(self.given(question.kind)))
        return {"about": about, "right": right, "standing": standing, **self.progress()}

    def given(self, kind: str) -> dict[int, int]:
        """The answers that count for a question, by place."""
        return given_to(self.questions[kind], self.ledger.answers, self.ids)

    def findings(self) -> dict[str, Any]:
        """Entries of ``metrics.json`` for the answers to all `zerolabel.review.questions`."""
        found: dict[str, Any] = {}
        for kind, question in self.questions.items():
            found |= question.findings(self.given(kind))
        return found

    def progress(self) -> dict[str, Any]:
        """Number of answered sampled images, and the interval."""
        measured, answered, verdict = self.measured, list(self._answered(self.sample)), self.verdict
        return {
            "n": self.n,
            "done": len(answered),
            "answered": answered,
            "measured": None if measured is None else measured.to_dict(),
            "verdict": None if verdict is None else asdict(verdict),
            "marked": len(self._marked),
        }

    def grid(self, class_id: int) -> dict[str, Any]:
        """The next images that were predicted to be of a class, the least sure first, and how many are left."""
        known = self._known
        left = [place for place in self._by_class.get(class_id, ()) if self._name(place) not in known]
        open_ = [place for place in left if not self._measures(place)]
        return {"items": open_[:PAGE], "left": len(open_)}

    def mark(self, class_id: int, items: Sequence[int], wrong: Iterable[int], reviewer: str) -> None:
        """Save a page of the grid: the marked images are wrong, the others right.

        Raises:
            ValueError: an image of the page was not predicted to be of the class.
        """
        marked = set(wrong)
        allowed = {place for place in self._by_class.get(class_id, ()) if not self._measures(place)}
        if not set(items) <= allowed or not marked <= set(items):
            raise ValueError("the image is not on the page")
        name = self.subject.classes[class_id]
        self.ledger.add(
            Answer(self._name(place), UNSURE, reviewer, now(), MARKED)
            if place in marked
            else Answer(self._name(place), name, reviewer, now(), CONFIRMED)
            for place in items
        )

    @cached_property
    def planned(self) -> int:
        """Number of answers that was fixed before the first of them; until then another may be."""
        return note(self.plan, self.sampled, self.n, again=not self._random)

    def _questions(
        self, n: int | None, seed: int, max_error: float | None, features: Float[np.ndarray, "N D"] | None
    ) -> dict[str, Question]:
        """The questions that this subject allows."""
        measured, learned, few = self.subject.measured, self.subject.learned, n or DEFAULT
        found: list[Question] = []
        if self.guided is not None:
            return {"teach": self._teach(self.guided.teach, features)} if self.guided.teach else {}
        if len(self.subject.rivals) > 1:
            found.append(Choose(measured, self.subject.rivals, few))
        if max_error is not None:
            found.append(Guaranteed(learned, max_error, n, seed))
        found.append(self._teach(few, features))
        if len(np.unique(measured.confidence)) > 1:
            found.append(Unknown(measured, few, seed))
        return {question.kind: question for question in found}

    def _teach(self, n: int, features: Float[np.ndarray, "N D"] | None) -> Teach:
        """The question of what to label; labels that name no class are not asked for again, and count for nothing."""
        answered = consensus(answer for answer in self.ledger.answers if answer.why == TAUGHT)
        before = [self.places[name] for name, label in answered.items() if name in self.places and label in self.ids]
        known = {self.places[name] for name in self._known if name in self.places}
        known |= self.sample if self.subject.measured is self.subject.learned else frozenset()
        return Teach(self.subject.learned, n, known - set(before), before, features)

    @property
    def open_kinds(self) -> list[Kind]:
        """The questions of a guided review that need an answer, in their order."""
        order: list[Kind] = ["compare", "measure", "teach"]
        return [kind for kind in order if kind in (*self.questions, "measure", "compare") and self._is_open(kind)]

    def _is_open(self, kind: Kind) -> bool:
        if kind == "teach":
            return self.following(kind) is not None
        return self.remaining > 0 if kind == "measure" else self.following("compare") is not None

    def _words(self, given: Mapping[int, int], places: Iterable[int]) -> dict[int, Any]:
        """Answers as the page knows them."""
        words = {NO_CLASS: "none", NOT_SURE: "unsure"}
        return {place: words.get(given[place], given[place]) for place in places if place in given}

    @property
    def _most(self) -> int:
        """Number of sampled images, including later additions."""
        asked = {answer.file_name for answer in self.ledger.answers if answer.why == RANDOM}
        names = self.subject.measured.images.file_names
        order = self.sampled.first(len(self.sampled.places))
        return max(self.n, *(step for step, place in enumerate(order, 1) if names[place] in asked))

    @cached_property
    def _by_class(self) -> dict[int, list[int]]:
        pool = self.subject.learned
        found: dict[int, list[int]] = {}
        for place in np.argsort(pool.confidence, kind="stable").tolist():
            if not pool.taught[place]:
                found.setdefault(int(pool.predicted[place]), []).append(place)
        return found

    @property
    def counts(self) -> dict[int, int]:
        """Number of predictions of each class."""
        return {class_id: len(places) for class_id, places in self._by_class.items() if class_id >= 0}

    @property
    def _known(self) -> set[str]:
        """Names of images that the grid need not show: they are answered."""
        taught = [answer for answer in self.ledger.answers if answer.why.startswith(CHOSEN)]
        return set(consensus(taught + self._random if self.subject.measured is self.subject.learned else taught))

    @property
    def _marked(self) -> list[int]:
        """Images that were marked wrong and have no class yet."""
        last = {answer.file_name: answer.why for answer in self.ledger.answers if answer.why.startswith(CHOSEN)}
        return [self.places[name] for name, why in last.items() if why == MARKED and name in self.places]

    @property
    def _marked_once(self) -> set[int]:
        names = {answer.file_name for answer in self.ledger.answers if answer.why in (MARKED, CORRECTED)}
        return {self.places[name] for name in names if name in self.places}

    @property
    def _differing_in_order(self) -> list[int]:
        """Images on which two answers differ, in random order, as many as are asked about."""
        return self.sampled.differing[: None if self.guided is None else self.guided.changed]

    @cached_property
    def _differing(self) -> frozenset[int]:
        return frozenset(self._differing_in_order)

    @property
    def _random(self) -> list[Answer]:
        """Answers about images that were drawn at random, for whichever question; what is shown hides predictions."""
        return [answer for answer in self.ledger.answers if answer.why.startswith(RANDOM)]

    def _answered(self, places: Iterable[int]) -> dict[int, Any]:
        """The answer to each of some images, by its place: a class id or a word."""
        words = {text: word for word, text in WORDS.items()}
        names, labels = self.subject.measured.images.file_names, consensus(self._random)
        known = {place: labels.get(names[place]) for place in places}
        return {place: self.ids.get(label, words.get(label)) for place, label in known.items() if label is not None}

    def _about(self, pool: Pool, place: int) -> dict[str, Any]:
        """Prediction and candidates of an image."""
        candidates = [] if pool.candidates is None else np.flatnonzero(pool.candidates[place]).tolist()
        compared = None if pool.compared is None else int(pool.compared[place])
        return {
            "predicted": int(pool.predicted[place]),
            "confidence": float(pool.confidence[place]),
            "compared": compared,
            "candidates": candidates,
        }

    def _label(self, choice: int | str) -> str:
        if isinstance(choice, int) and 0 <= choice < len(self.subject.classes):
            return self.subject.classes[choice]
        if choice == "" or choice in WORDS:
            return WORDS[choice] if isinstance(choice, str) and choice else WITHDRAWN
        raise ValueError("there is no such answer")

    def _taken_back(self, kind: Kind) -> str:
        """Replacement of a withdrawn answer."""
        return UNSURE if kind == "correct" else WITHDRAWN

    def _measures(self, place: int) -> bool:
        return self.subject.measured is self.subject.learned and place in self.sample

    def _name(self, place: int) -> str:
        return self.subject.learned.images.file_names[place]
