"""Images and a chat model: its answers as votes, or as abstentions with a reason."""

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

from zerolabel.annotate.chat_progress import Asked, Preview
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
from zerolabel.vlms.chat.budget import Purse, Spent
from zerolabel.vlms.chat.client import Client, Gone, Passing, Refused
from zerolabel.vlms.chat.protocol import Reply, data_url, question, tokens_in
from zerolabel.vlms.chat.reply_cache import AnswerStore, key

AHEAD = 4  # images that wait for each thread
_LOCKS = 1024
Shortlists = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class _Row:
    """What a chat model answered for one image, by template: the answer, and its text."""

    sha256: str
    size: tuple[int, int]
    said: tuple[tuple[Answer, str], ...]
    cached: int


def _locks() -> tuple[threading.Lock, ...]:
    return tuple(threading.Lock() for _ in range(_LOCKS))


@dataclass
class Interview:
    """One model, its prompts, and what it was asked before; used by several threads.

    Attributes:
        chat: the model.
        classes: C names with aliases.
        templates: A prompts.
        store: answers on disk.
        reached: whether something listens at the endpoint.
        shortlists: class ids to ask about, by the content of the image; None asks about all classes.
        served: the model and where it is.
        listed: the version that the server's list of models declares; empty where it declares none.
        called: what the model called itself in its last answer.
        reused: answers that were known from before.
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
    purse: Purse = field(init=False)
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
        self.client, self.purse = Client(self.chat), Purse(self.chat)
        self.vocabulary = Vocabulary(self.classes)
        self.served = f"{self.chat.model} at {self.chat.shown.rstrip('/')}"
        declared = self.client.declared()
        self.reached = declared is not None
        self.listed = self.kept_version(declared)
        self.called = self.store.version(f"called: {self.served}")

    def kept_version(self, declared: str | None) -> str:
        """What the server declares now, or declared last where it is away."""
        name = f"listed: {self.served}"
        last = self.store.version(name)
        if declared is not None and declared != last:
            self.store.set_version(name, declared)
        return last if declared is None else declared

    def row(self, images: ImageSet, index: int) -> _Row:
        """Ask every prompt about one image; what was answered before is not asked again.

        Raises:
            Unreadable: the image is.
            Spent: the budget is.
            Gone: the server is.
        """
        data = images.read_bytes(index)
        digest, image = sha256(data), decode(data)
        with self.locks[int(digest[:8], 16) % _LOCKS]:  # a copy of an image waits for the first
            replies = [self.answer(template, digest, image) for template in self.templates]
        said = tuple((answer, text) for answer, text, _ in replies)
        return _Row(digest, image.size, said, sum(known for *_, known in replies))

    def reach(self) -> None:
        """See, once, that something listens; answers that exist need no server."""
        with self.reaching:
            if not self.reached:
                self.client.reach()
                self.reached = True

    def names(self, digest: str) -> tuple[str, ...]:
        """The classes that are asked about for an image."""
        if self.shortlists is None or len(self.classes) <= MOST_CLASSES:
            return self.classes.names
        return tuple(self.classes.names[c] for c in self.shortlists.get(digest, ()))

    def key(self, template: str, digest: str) -> str:
        """What the answer to a prompt about an image depends on."""
        chat, names = self.chat, self.names(digest)
        how = {"side": chat.side, "choices": chat.choices, "answer_tokens": chat.answer_tokens}
        who = {"served": self.served, "listed": self.listed, "called": self.called}
        return key(image=digest, question=question(template, names, chat.choices), classes=names, **how, **who)

    def keep(self, template: str, digest: str, reply: Reply) -> None:
        """Keep an answer, by what the model calls itself in it."""
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
        """The answer, its text or the failure in words, and whether it was known from before."""
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
                with self.purse.paying(*estimate) as bill:
                    reply = self.client.ask(text, data_url(image, self.chat.side), names)
                    bill.settle(reply)
                    if not reply.is_cut_off:
                        self.keep(template, digest, reply)
            except Refused as error:
                return Answer((), "refused"), str(error), False
            except Passing as error:
                return Answer((), "failed"), str(error), False
        if reply.is_cut_off:
            return Answer((), CUT_OFF), reply.text or "", False
        return self.vocabulary.read(reply.text, choices), reply.text or "", known is not None


def annotate_in_words(
    images: ImageSet,
    chat: Chat,
    classes: Classes,
    templates: Sequence[str],
    *,
    answers: Path,
    out: Path | None = None,
    rule: str = "union",
    shortlists: Shortlists | None = None,
    progress: Callable[[Iterator[Asked]], Iterable[Asked]] = iter,
) -> Annotated:
    """Ask a model about every image.

    Each prompt is an annotator; the classes that one answer names are its first, second, ... choice, each a column of
    votes. The score is uniform over the classes that an answer names, and the mean over prompts that named any.

    Args:
        images: N images.
        chat: the model and how it is asked.
        classes: C names with aliases.
        templates: A prompts, each with ``{}`` where the class names go.
        answers: file of all answers so far; a question that it answers is not asked again.
        out: folder for ``annotations.parquet``, ``skipped.csv`` and ``answers.csv``; None writes none.
        rule: how candidates are formed, see `zerolabel.annotations.candidates.RULES`.
        shortlists: class ids to ask about by content hash of the image, where there are more than `MOST_CLASSES`.
        progress: wraps the steps.

    Raises:
        InputError: nothing answers at the endpoint, or not any more, it refuses the key or every question, the budget
            is spent (all answers are kept), no image is readable, or a template or the rule is wrong.
    """
    build, start = candidates.parse_rule(rule), time.perf_counter()
    store = AnswerStore(answers)
    interview = Interview(chat, classes, templates, store, shortlists)
    rows: dict[int, _Row] = {}
    skipped: list[tuple[str, str]] = []
    try:
        known = 0
        for step in progress(_steps(images, interview, rows, skipped)):
            known = step.cached
    except (Spent, Gone) as error:
        raise InputError(_why_it_ended(error, chat, f"after {len(rows)} of {len(images)} images")) from None
    finally:
        interview.client.close()
        store.close()
    if out is not None:
        save_skipped(out, skipped)
        _save_answers(out, images, interview, rows)
    if not rows:
        raise InputError(none_readable(images, skipped))
    if (reason := _unanswered(rows)) is not None:
        raise InputError(f"{chat.shown} answered no question ({reason}); fix that, and continue with --resume.")
    annotations = _annotations(images, interview, rows, rule)
    annotations = annotations.with_candidates(build(annotations), rule)
    if not bool(annotations.candidates.any()):
        counts = Counter(answer.reason for row in rows.values() for answer, _ in row.said if answer.reason)
        told = ", ".join(f"{reason} {count}" for reason, count in counts.most_common())
        warnings.warn(f"no answer gave a candidate class ({told}); answers.csv has them.", stacklevel=2)
    if out is not None:
        annotations.save(out / "annotations.parquet")
    seconds = time.perf_counter() - start
    speed = None if known else len(images) / max(seconds, 1e-9)
    readable, features = images.select(sorted(rows)), torch.zeros(len(rows), 0)
    return Annotated(annotations, readable, features, tuple(skipped), seconds, speed)


def _why_it_ended(error: Spent | Gone, chat: Chat, when: str) -> str:
    done = f"{when}; the answers are kept"
    if isinstance(error, Spent):
        return f"the budget of {chat.budget:g} is spent {done}: raise --budget, and continue with --resume."
    return f"{chat.shown} stopped answering ({error}) {done}: check the server, and continue with --resume."


def _steps(
    images: ImageSet, interview: Interview, rows: dict[int, _Row], skipped: list[tuple[str, str]]
) -> Iterator[Asked]:
    start, cached, abstained = time.perf_counter(), 0, Counter[str]()
    workers, left = interview.chat.concurrency, iter(range(len(images)))
    unreadable: dict[int, str] = {}
    pool, asked = ThreadPoolExecutor(workers), dict[Future[_Row], int]()
    try:
        while True:
            asked |= {pool.submit(interview.row, images, i): i for i in islice(left, AHEAD * workers - len(asked))}
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
                    abstained.update(answer.reason for answer, _ in rows[i].said if answer.reason)
            seconds, done = time.perf_counter() - start, len(rows) + len(unreadable)
            yield Asked(done, len(images), len(unreadable), cached, dict(abstained), interview.purse.cost, seconds)
        skipped.extend((images.file_names[i], reason) for i, reason in sorted(unreadable.items()))
    finally:
        interview.client.stopped.set()
        pool.shutdown(wait=True, cancel_futures=True)


def _unanswered(rows: Mapping[int, _Row]) -> str | None:
    """The first reason where the server refused, failed or cut off every answer; None where it answered any."""
    said = [one for i in sorted(rows) for one in rows[i].said]
    if not all(answer.reason in FAILED for answer, _ in said):
        return None
    cut = sum(answer.reason == CUT_OFF for answer, _ in said)
    if cut:
        return f"{cut} of {len(said)} answers were cut off before their end: raise --answer-tokens"
    return said[0][1]


def _annotations(images: ImageSet, interview: Interview, rows: dict[int, _Row], rule: str) -> Annotations:
    chat, n_classes, choices = interview.chat, len(interview.classes), interview.chat.choices
    kept = sorted(rows)
    votes = torch.full((len(kept), len(interview.templates), choices), -1)
    scores = torch.zeros(len(kept), n_classes)
    for place, i in enumerate(kept):
        named = [answer.ids for answer, _ in rows[i].said]
        for a, ids in enumerate(named):
            votes[place, a, : len(ids)] = torch.tensor(ids, dtype=torch.long)
            scores[place, list(ids)] += 1 / max(len(ids), 1)
        scores[place] /= max(sum(bool(ids) for ids in named), 1)
    annotators = [
        Annotator(chat.name, interview.listed, t, choice)
        for t in interview.templates
        for choice in range(1, choices + 1)
    ]
    return Annotations(
        classes=interview.classes.names,
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


def _save_answers(out: Path, images: ImageSet, interview: Interview, rows: dict[int, _Row]) -> None:
    """``answers.csv``: the votes on each image, and why it was no vote where it was none."""
    with replacing(out / "answers.csv") as partial, partial.open("w", newline="", encoding="utf-8") as file:
        delimited.write(file, [("file_name", "prompt", "classes", "reason", "answer")])
        for i in sorted(rows):
            for template, (answer, text) in zip(interview.templates, rows[i].said, strict=True):
                named = ";".join(interview.classes.names[c] for c in answer.ids)
                delimited.write(file, [(images.file_names[i], template, named, answer.reason, text)])


def preview(
    images: ImageSet, chat: Chat, classes: Classes, templates: Sequence[str], answers: str | os.PathLike[str]
) -> Preview:
    """What `annotate_in_words` would take; asks nothing.

    With more than `MOST_CLASSES` classes, shortlists are not made yet and no answer counts as known.
    """
    store = AnswerStore(Path(answers))
    many = len(classes) > MOST_CLASSES
    names = classes.names[:SHORTLIST] if many else classes.names
    interview = Interview(chat, classes, templates, store, {} if many else None)
    open_questions: dict[str, int] = {}
    cached: set[str] = set()
    for i in range(len(images)):
        try:
            data = images.read_bytes(i)
            size, digest = decode(data).size, sha256(data)
        except Unreadable:
            continue
        for template in templates:
            place = interview.key(template, digest)
            if not many and store.get(place) is not None:
                cached.add(place)
            else:
                open_questions[place] = tokens_in(question(template, names, chat.choices), *size, chat.side)
    interview.client.close()
    store.close()
    sent, received = sum(open_questions.values()), chat.tokens_out * len(open_questions)
    return Preview(len(open_questions), len(cached), sent, received, chat.cost(sent, received))
