"""Annotate images with a chat model: its answers become votes, or abstentions with a reason."""

import os
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import torch
from PIL import Image

from zerolabel.annotate.chat_progress import ChatProgress, CostPreview
from zerolabel.annotate.run import Annotated
from zerolabel.annotate.writing import none_readable
from zerolabel.annotations import Annotations, Annotator, candidates
from zerolabel.data.classes import Classes
from zerolabel.data.images import ImageSet, Unreadable, decode, sha256
from zerolabel.errors import InputError
from zerolabel.files import delimited, replacing
from zerolabel.files.skipped import save_skipped
from zerolabel.vlms.chat import MOST_CLASSES, SHORTLIST, Chat
from zerolabel.vlms.chat.answers import CUT_OFF, FAILED, Answer, Vocabulary
from zerolabel.vlms.chat.budget import Budget, BudgetExceeded
from zerolabel.vlms.chat.client import Client, RequestRejected, ServerUnavailable, TransientError
from zerolabel.vlms.chat.protocol import Reply, data_url, question, tokens_in
from zerolabel.vlms.chat.reply_cache import AnswerStore, key

AHEAD = 4  # images that wait for each thread
_LOCKS = 1024
Shortlists = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class _Row:
    """Answers and their texts for one image, in the order of the templates."""

    sha256: str
    size: tuple[int, int]
    answers: tuple[tuple[Answer, str], ...]
    cached: int


def _locks() -> tuple[threading.Lock, ...]:
    return tuple(threading.Lock() for _ in range(_LOCKS))


@dataclass
class ChatAnnotator:
    """A chat model with its prompts and cached answers; thread-safe.

    Attributes:
        chat: the model.
        classes: C names with aliases.
        templates: A prompts.
        store: cache of answers on disk.
        reached: True once the endpoint accepted a connection.
        shortlists: class ids to ask about, by the SHA-256 of the image; None for all classes.
        served: model and endpoint, for display and cache keys.
        listed: version in the server's list of models, empty if it has none.
        called: model name in the last reply.
        reused: number of answers taken from the cache.
    """

    chat: Chat
    classes: Classes
    templates: Sequence[str]
    store: AnswerStore
    shortlists: Shortlists | None = None
    served: str = field(init=False)
    listed: str = field(init=False)
    called: str = field(init=False)
    client: Client = field(init=False)
    budget: Budget = field(init=False)
    reached: bool = field(init=False, default=False)
    reused: int = field(init=False, default=0)
    naming: threading.Lock = field(init=False, default_factory=threading.Lock)
    reaching: threading.Lock = field(init=False, default_factory=threading.Lock)
    locks: tuple[threading.Lock, ...] = field(init=False, default_factory=_locks)

    def __post_init__(self) -> None:
        for template in self.templates:
            if "{}" not in template:
                raise InputError(f"the template {template!r} lacks {{}}, where the class names go; add it.")
        if len(self.classes) > MOST_CLASSES and self.shortlists is None:
            raise InputError(
                f"--vlm {self.chat.name}: {len(self.classes)} classes are more than a question can list "
                f"({MOST_CLASSES}); add a --vlm that is no chat, whose best {SHORTLIST} of each image are asked about."
            )
        self.client, self.budget = Client(self.chat), Budget(self.chat)
        self.vocabulary = Vocabulary(self.classes)
        self.served = f"{self.chat.model} at {self.chat.shown.rstrip('/')}"
        declared = self.client.declared()
        self.reached = declared is not None
        self.listed = self.kept_version(declared)
        self.called = self.store.version(f"called: {self.served}")

    def kept_version(self, declared: str | None) -> str:
        """The version that the server declares now, or the last known one if it is not reachable."""
        name = f"listed: {self.served}"
        last = self.store.version(name)
        if declared is not None and declared != last:
            self.store.set_version(name, declared)
        return last if declared is None else declared

    def row(self, images: ImageSet, index: int) -> _Row:
        """Answers to every prompt for one image; cached answers are not requested again.

        Raises:
            Unreadable: the image cannot be decoded.
            BudgetExceeded: the next request could exceed the budget.
            ServerUnavailable: the server stopped answering.
        """
        data = images.read_bytes(index)
        digest, image = sha256(data), decode(data)
        with self.locks[int(digest[:8], 16) % _LOCKS]:  # a copy of an image waits for the first
            replies = [self.answer(template, digest, image) for template in self.templates]
        answers = tuple((answer, text) for answer, text, _ in replies)
        return _Row(digest, image.size, answers, sum(known for *_, known in replies))

    def reach(self) -> None:
        """Check the connection once, before the first request; cached answers need no server."""
        with self.reaching:
            if not self.reached:
                self.client.reach()
                self.reached = True

    def names(self, digest: str) -> tuple[str, ...]:
        """Class names listed in the question about an image."""
        if self.shortlists is None or len(self.classes) <= MOST_CLASSES:
            return self.classes.names
        return tuple(self.classes.names[c] for c in self.shortlists.get(digest, ()))

    def key(self, template: str, digest: str) -> str:
        """Cache key: everything that the answer to a prompt about an image depends on."""
        chat, names = self.chat, self.names(digest)
        how = {"side": chat.side, "choices": chat.choices, "answer_tokens": chat.answer_tokens}
        who = {"served": self.served, "listed": self.listed, "called": self.called}
        return key(image=digest, question=question(template, names, chat.choices), classes=names, **how, **who)

    def keep(self, template: str, digest: str, reply: Reply) -> None:
        """Cache an answer under the model name in the reply."""
        with self.naming:
            if reply.model and reply.model != self.called:
                if self.called and self.reused:
                    warnings.warn(
                        f"the model now answers as {reply.model!r}, and {self.reused} answers of {self.called!r} were "
                        "taken from the cache; repeat the command with --overwrite to ask all again.",
                        stacklevel=2,
                    )
                self.called = reply.model
                self.store.set_version(f"called: {self.served}", reply.model)
            place = self.key(template, digest)
        self.store.add(place, reply)

    def answer(self, template: str, digest: str, image: Image.Image) -> tuple[Answer, str, bool]:
        """The parsed answer, its text or the error, and True if it came from the cache."""
        names, choices = self.names(digest), self.chat.choices
        if not names:
            return Answer((), "no shortlist"), "", False
        known = reply = self.store.get(self.key(template, digest))
        self.reused += known is not None
        if reply is None:
            text = question(template, names, choices)
            estimate = tokens_in(text, *image.size, self.chat.side), self.chat.tokens_out
            self.reach()
            try:
                with self.budget.reserve(*estimate) as reservation:
                    reply = self.client.ask(text, data_url(image, self.chat.side), names)
                    reservation.record(reply)
                    if not reply.is_cut_off:
                        self.keep(template, digest, reply)
            except RequestRejected as error:
                return Answer((), "refused"), str(error), False
            except TransientError as error:
                return Answer((), "failed"), str(error), False
        if reply.is_cut_off:
            return Answer((), CUT_OFF), reply.text or "", False
        return self.vocabulary.read(reply.text, choices), reply.text or "", known is not None


def annotate_with_chat(
    images: ImageSet,
    chat: Chat,
    classes: Classes,
    templates: Sequence[str],
    *,
    answers: Path,
    out: Path | None = None,
    rule: str = "union",
    shortlists: Shortlists | None = None,
    progress: Callable[[Iterator[ChatProgress]], Iterable[ChatProgress]] = iter,
) -> Annotated:
    """Annotate images with a chat model.

    Each prompt is an annotator; the first, second, ... class of an answer is one column of votes each. Scores are
    uniform over the classes of an answer, averaged over the prompts that did not abstain.

    Args:
        images: N images.
        chat: model and request options.
        classes: C names with aliases.
        templates: A prompts, each with ``{}`` where the class names go.
        answers: the answer cache; cached questions are not sent again.
        out: folder for ``annotations.parquet``, ``skipped.csv`` and ``answers.csv``; None writes none.
        rule: how candidates are formed, see `zerolabel.annotations.candidates.RULES`.
        shortlists: class ids to ask about by content hash of the image, where there are more than `MOST_CLASSES`.
        progress: wraps the steps.

    Raises:
        InputError: the endpoint is unreachable or becomes so, it rejects the key or every question, the budget is
            spent (answers are kept), no image is readable, or a template or the rule is invalid.
    """
    build, start = candidates.parse_rule(rule), time.perf_counter()
    store = AnswerStore(answers)
    annotator = ChatAnnotator(chat, classes, templates, store, shortlists)
    rows: dict[int, _Row] = {}
    skipped: list[tuple[str, str]] = []
    known = 0
    try:
        for step in progress(_steps(images, annotator, rows, skipped)):
            known = step.cached
    except (BudgetExceeded, ServerUnavailable) as error:
        raise InputError(_why_it_ended(error, chat, f"after {len(rows)} of {len(images)} images")) from None
    finally:
        annotator.client.close()
        store.close()
    if out is not None:
        save_skipped(out, skipped)
        _save_answers(out, images, annotator, rows)
    _check_answered(images, chat, rows, skipped)
    annotations = _annotations(images, annotator, rows, rule)
    annotations = annotations.with_candidates(build(annotations), rule)
    _warn_without_candidates(annotations, rows)
    if out is not None:
        annotations.save(out / "annotations.parquet")
    seconds = time.perf_counter() - start
    speed = None if known else len(images) / max(seconds, 1e-9)
    readable, features = images.select(sorted(rows)), torch.zeros(len(rows), 0)
    return Annotated(annotations, readable, features, tuple(skipped), seconds, speed)


def _why_it_ended(error: BudgetExceeded | ServerUnavailable, chat: Chat, when: str) -> str:
    done = f"{when}; the answers are kept"
    if isinstance(error, BudgetExceeded):
        return f"the budget of {chat.budget:g} is spent {done}: raise --budget, and continue with --resume."
    return f"{chat.shown} stopped answering ({error}) {done}: check the server, and continue with --resume."


def _steps(
    images: ImageSet, annotator: ChatAnnotator, rows: dict[int, _Row], skipped: list[tuple[str, str]]
) -> Iterator[ChatProgress]:
    start, cached, abstained = time.perf_counter(), 0, Counter[str]()
    workers, left = annotator.chat.concurrency, iter(range(len(images)))
    unreadable: dict[int, str] = {}
    pool, asked = ThreadPoolExecutor(workers), dict[Future[_Row], int]()
    try:
        while True:
            asked |= {pool.submit(annotator.row, images, i): i for i in islice(left, AHEAD * workers - len(asked))}
            if not asked:
                break
            for job in wait(asked, return_when=FIRST_COMPLETED).done:
                i = asked.pop(job)
                try:
                    rows[i] = job.result()
                except Unreadable as error:
                    unreadable[i] = str(error)
                else:
                    cached += rows[i].cached
                    abstained.update(answer.reason for answer, _ in rows[i].answers if answer.reason)
            seconds, done = time.perf_counter() - start, len(rows) + len(unreadable)
            yield ChatProgress(
                done, len(images), len(unreadable), cached, dict(abstained), annotator.budget.cost, seconds
            )
        skipped.extend((images.file_names[i], reason) for i, reason in sorted(unreadable.items()))
    finally:
        annotator.client.stopped.set()
        pool.shutdown(wait=True, cancel_futures=True)


def _check_answered(images: ImageSet, chat: Chat, rows: Mapping[int, _Row], skipped: Sequence[tuple[str, str]]) -> None:
    """Raise an InputError if no image is readable, or no question was answered."""
    if not rows:
        raise InputError(none_readable(images, skipped))
    if (reason := _unanswered(rows)) is not None:
        raise InputError(f"{chat.shown} answered no question ({reason}); fix that, and continue with --resume.")


def _warn_without_candidates(annotations: Annotations, rows: Mapping[int, _Row]) -> None:
    """Warn with the reasons of all abstentions if no image has a candidate."""
    if not bool(annotations.candidates.any()):
        counts = Counter(answer.reason for row in rows.values() for answer, _ in row.answers if answer.reason)
        counted = ", ".join(f"{reason} {count}" for reason, count in counts.most_common())
        warnings.warn(f"no answer gave a candidate class ({counted}); answers.csv has them.", stacklevel=3)


def _unanswered(rows: Mapping[int, _Row]) -> str | None:
    """The first error if the server rejected, failed or cut off every answer; None if any was usable."""
    answers = [one for i in sorted(rows) for one in rows[i].answers]
    if not all(answer.reason in FAILED for answer, _ in answers):
        return None
    cut = sum(answer.reason == CUT_OFF for answer, _ in answers)
    if cut:
        return f"{cut} of {len(answers)} answers were cut off before their end: raise --answer-tokens"
    return answers[0][1]


def _annotations(images: ImageSet, annotator: ChatAnnotator, rows: dict[int, _Row], rule: str) -> Annotations:
    chat, n_classes, choices = annotator.chat, len(annotator.classes), annotator.chat.choices
    kept = sorted(rows)
    votes = torch.full((len(kept), len(annotator.templates), choices), -1)
    scores = torch.zeros(len(kept), n_classes)
    for place, i in enumerate(kept):
        named = [answer.ids for answer, _ in rows[i].answers]
        for a, ids in enumerate(named):
            votes[place, a, : len(ids)] = torch.tensor(ids, dtype=torch.long)
            scores[place, list(ids)] += 1 / max(len(ids), 1)
        scores[place] /= max(sum(bool(ids) for ids in named), 1)
    annotators = [
        Annotator(chat.name, annotator.listed, t, choice)
        for t in annotator.templates
        for choice in range(1, choices + 1)
    ]
    return Annotations(
        classes=annotator.classes.names,
        file_names=tuple(images.file_names[i] for i in kept),
        sha256=tuple(rows[i].sha256 for i in kept),
        sizes=torch.tensor([rows[i].size for i in kept]),
        votes=votes.flatten(1),
        scores=scores,
        candidates=torch.zeros(scores.shape, dtype=torch.bool),
        labels=torch.full((len(kept),), -1),
        annotators=tuple(annotators),
        rule=rule,
    )


def _save_answers(out: Path, images: ImageSet, annotator: ChatAnnotator, rows: dict[int, _Row]) -> None:
    """Write ``answers.csv``: the classes in each answer, or the reason of its abstention."""
    with replacing(out / "answers.csv") as partial, partial.open("w", newline="", encoding="utf-8") as file:
        delimited.write(file, [("file_name", "prompt", "classes", "reason", "answer")])
        for i in sorted(rows):
            for template, (answer, text) in zip(annotator.templates, rows[i].answers, strict=True):
                named = ";".join(annotator.classes.names[c] for c in answer.ids)
                delimited.write(file, [(images.file_names[i], template, named, answer.reason, text)])


def preview(
    images: ImageSet, chat: Chat, classes: Classes, templates: Sequence[str], answers: str | os.PathLike[str]
) -> CostPreview:
    """Estimate the requests and cost of `annotate_with_chat` without sending any.

    With more than `MOST_CLASSES` classes the shortlists do not exist yet, so every question counts as new.
    """
    store = AnswerStore(Path(answers))
    many = len(classes) > MOST_CLASSES
    names = classes.names[:SHORTLIST] if many else classes.names
    annotator = ChatAnnotator(chat, classes, templates, store, {} if many else None)
    open_questions: dict[str, int] = {}
    cached: set[str] = set()
    for i in range(len(images)):
        try:
            data = images.read_bytes(i)
            size, digest = decode(data).size, sha256(data)
        except Unreadable:
            continue
        for template in templates:
            place = annotator.key(template, digest)
            if not many and store.get(place) is not None:
                cached.add(place)
            else:
                open_questions[place] = tokens_in(question(template, names, chat.choices), *size, chat.side)
    annotator.client.close()
    store.close()
    sent, received = sum(open_questions.values()), chat.tokens_out * len(open_questions)
    return CostPreview(len(open_questions), len(cached), sent, received, chat.cost(sent, received))
