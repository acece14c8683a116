"""Images, a vision-language model and prompts in; votes, scores and candidate label sets out."""

import csv
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from zerolabel import candidates
from zerolabel.annotations import Annotations, Annotator, writing
from zerolabel.errors import InputError
from zerolabel.feature_cache import FeatureCache
from zerolabel.images import ImageSet, Unreadable, decode, sha256
from zerolabel.prompts import Classes, prompts
from zerolabel.vlms.clip import DualEncoder

_CHUNK = 4096  # images scored at once


@dataclass(frozen=True)
class Step:
    """How far the pass over the images is.

    Attributes:
        done: images dealt with, readable or not.
        total: N.
        skipped: unreadable ones so far.
        cached: images so far whose features were known from before.
        seconds: since the start of the pass.
    """

    done: int
    total: int
    skipped: int
    cached: int
    seconds: float

    @property
    def images_per_second(self) -> float:
        """Mean speed so far."""
        return self.done / max(self.seconds, 1e-9)

    @property
    def seconds_left(self) -> float:
        """Estimate from the mean speed so far."""
        return (self.total - self.done) / max(self.images_per_second, 1e-9)


@dataclass(frozen=True)
class Annotated:
    """What `annotate` returns.

    Attributes:
        annotations: votes, scores and candidates of the N readable images.
        images: the readable images, in the order of the annotations.
        features: image features of length 1.
        skipped: name of each unreadable file, and the reason.
        seconds: duration of the pass over the images.
        images_per_second: speed of that pass.
    """

    annotations: Annotations
    images: ImageSet
    features: Float[Tensor, "N D"]
    skipped: tuple[tuple[str, str], ...]
    seconds: float
    images_per_second: float


@dataclass
class Embedding:
    """Image features as they come in; complete once `steps` is exhausted.

    Attributes:
        features: a row per image of the set, zero for those not readable.
        sizes: width and height, in pixels.
        sha256: content hashes, empty for images not readable.
        skipped: index of each unreadable image, and the reason.
        steps: the pass over the images, a generator.
    """

    features: Float[Tensor, "N D"]
    sizes: Int[Tensor, "N 2"]
    sha256: list[str]
    skipped: dict[int, str] = field(default_factory=dict)
    steps: Iterator[Step] = field(default_factory=lambda: iter(()))


def annotate(
    images: ImageSet,
    encoder: DualEncoder,
    classes: Classes,
    templates: Sequence[str],
    *,
    out: str | os.PathLike[str] | None = None,
    rule: str = "union",
    batch_size: int = 64,
    cache: str | os.PathLike[str] | None = None,
    resume: bool = False,
    progress: Callable[[Iterator[Step]], Iterable[Step]] = iter,
) -> Annotated:
    """Let every prompt template vote on every image.

    Each (model, template) is an annotator: one softmax per template, its argmax is the template's vote, and the mean
    of the templates' probabilities is the score. Unreadable images are left out and listed.

    Args:
        images: N images.
        encoder: the model, see `zerolabel.vlms.load`.
        classes: C names with aliases; the text features of a class's names are averaged.
        templates: A prompts, each with ``{}`` where the class name goes.
        out: folder for ``annotations.parquet`` and ``skipped.csv``; None writes neither.
        rule: how candidates are formed, see `zerolabel.candidates.RULES`.
        batch_size: images per call of the encoder.
        cache: folder of image features, shared between runs; by default ``features`` inside ``out``. A further
            call with other prompts, classes or rules needs no pass over the encoder.
        resume: whether annotations that already lie in ``out`` may be replaced; features found in the cache are
            used in any case.
        progress: wraps the steps of the pass over the images, such as ``tqdm`` or a function that shows a bar.

    Raises:
        InputError: the rule or a template is wrong, ``out`` holds annotations already, no image is readable, or the
            disk is full (what was encoded before stays in the cache).
    """
    build = candidates.parse_rule(rule)
    folder = None if out is None else Path(out)
    if folder is not None and not resume and (folder / "annotations.parquet").exists():
        raise InputError(f"{folder} holds annotations already; give --resume, --overwrite or another folder.")
    texts = text_features(encoder, classes, templates)
    cache = folder / "features" if cache is None and folder is not None else cache
    embedding = embed(images, encoder, batch_size=batch_size, cache=cache)
    last = Step(0, len(images), 0, 0, 0.0)
    for last in progress(embedding.steps):  # noqa: B007
        pass
    skipped = tuple((images.file_names[i], reason) for i, reason in sorted(embedding.skipped.items()))
    if folder is not None:
        _save_skipped(folder, skipped)
    if len(skipped) == len(images):
        raise InputError(_none_readable(images, skipped))
    kept = torch.tensor([i for i in range(len(images)) if i not in embedding.skipped])
    features, readable = embedding.features[kept], images.select(kept)
    votes, scores = score(encoder, features, texts)
    annotations = Annotations(
        classes=classes.names,
        file_names=readable.file_names,
        sha256=tuple(embedding.sha256[i] for i in kept.tolist()),
        sizes=embedding.sizes[kept],
        votes=votes,
        scores=scores,
        candidates=torch.zeros(scores.shape, dtype=torch.bool),
        labels=torch.full((len(kept),), -1),
        annotators=tuple(Annotator(encoder.name, encoder.revision, template) for template in templates),
        rule=rule,
    )
    annotations = annotations.with_candidates(build(annotations), rule)
    if folder is not None:
        annotations.save(folder / "annotations.parquet")
    return Annotated(annotations, readable, features, skipped, last.seconds, last.images_per_second)


def text_features(encoder: DualEncoder, classes: Classes, templates: Sequence[str]) -> Float[Tensor, "A C D"]:
    """Features of every class under every template, of length 1; the names of one class are averaged.

    Raises:
        InputError: there is no template, or one lacks ``{}``.
    """
    if not templates:
        raise InputError("there is no prompt template; give at least one, such as: a photo of a {}")
    for template in templates:
        if "{}" not in template:
            raise InputError(f"the template {template!r} lacks {{}}, where the class name goes; add it.")
    owners, rows = torch.tensor(classes.owners), []
    for template in templates:
        words = encoder.encode_texts(prompts(template, classes.words))
        total = torch.zeros(len(classes), words.shape[1]).index_add_(0, owners, words)
        rows.append(functional.normalize(total, dim=-1))
    return torch.stack(rows)


def score(
    encoder: DualEncoder, features: Float[Tensor, "N D"], texts: Float[Tensor, "A C D"]
) -> tuple[Int[Tensor, "N A"], Float[Tensor, "N C"]]:
    """One softmax per template: p_a = softmax(scale r . t_a) (Co-Reg, Wang et al., AAAI 2025).

    Args:
        encoder: gives the scale.
        features: image features of length 1.
        texts: text features of length 1, per template and class.

    Returns:
        The votes argmax_c p_ac, and the scores mean_a p_ac. Memory beyond these two stays bounded.
    """
    votes = torch.empty(len(features), len(texts), dtype=torch.long)
    scores = torch.zeros(len(features), texts.shape[1])
    for start in range(0, len(features), _CHUNK):
        rows = slice(start, start + _CHUNK)
        for a, text in enumerate(texts):
            p = encoder.probabilities(features[rows], text)
            votes[rows, a] = p.argmax(dim=1)
            scores[rows] += p / len(texts)
    return votes, scores


def embed(
    images: ImageSet, encoder: DualEncoder, *, batch_size: int = 64, cache: str | os.PathLike[str] | None = None
) -> Embedding:
    """Encode images, reading and preprocessing in threads ahead of the encoder.

    Nothing happens until the returned `Embedding.steps` is iterated.

    Args:
        images: N images.
        encoder: the model.
        batch_size: images per call of the encoder.
        cache: folder of features; known ones are read by model, preprocessing and image content, new ones added.

    Raises:
        InputError: the batch size is below 1; from the steps, the disk is full.
    """
    if batch_size < 1:
        raise InputError(f"--batch-size {batch_size} is below 1; give a whole number from 1, such as 64.")
    dimensions = encoder.encode_texts(["a"]).shape[1]
    found = Embedding(
        features=torch.zeros(len(images), dimensions),
        sizes=torch.zeros(len(images), 2, dtype=torch.long),
        sha256=[""] * len(images),
    )
    found.steps = _pass(images, encoder, batch_size, cache, found)
    return found


@dataclass(frozen=True)
class _Read:
    """One image from a reading thread: its pixels, or none where the features are known."""

    index: int
    sha256: str
    size: tuple[int, int]
    pixels: Float[Tensor, "3 H W"] | None


def _pass(
    images: ImageSet, encoder: DualEncoder, batch_size: int, cache: str | os.PathLike[str] | None, found: Embedding
) -> Iterator[Step]:
    start, done, cached = time.perf_counter(), 0, 0
    folder = None if cache is None else Path(cache) / f"{encoder.revision}-{encoder.preprocessing}"
    store = FeatureCache(folder, found.features.shape[1])
    batch: list[_Read] = []
    first: dict[str, int] = {}  # content -> the image that stands for it
    copies: list[tuple[int, int]] = []  # an image, and the one with the same content
    workers = os.cpu_count() or 1
    pool = ThreadPoolExecutor(workers)
    try:
        jobs = (pool.submit(_read, images, i, encoder, store) for i in range(len(images)))
        for index, job in enumerate(_ahead(jobs, 2 * batch_size + workers)):
            done += 1
            try:
                read = job.result()
            except Unreadable as error:
                found.skipped[index] = str(error)
            else:
                found.sha256[index] = read.sha256
                if first.setdefault(read.sha256, index) != index:
                    copies.append((index, first[read.sha256]))
                elif read.pixels is None:
                    cached += 1
                    found.features[index], size = store[read.sha256]
                    found.sizes[index] = torch.tensor(size)
                else:
                    batch.append(read)
            if len(batch) == batch_size or done == len(images):
                _encode(batch, encoder, store, found)
                for copy, original in copies:
                    found.features[copy], found.sizes[copy] = found.features[original], found.sizes[original]
                batch, copies = [], []
            if done % batch_size == 0 or done == len(images):
                yield Step(done, len(images), len(found.skipped), cached, time.perf_counter() - start)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        store.flush()


def _read(images: ImageSet, index: int, encoder: DualEncoder, store: FeatureCache) -> _Read:
    data = images.read_bytes(index)
    digest = sha256(data)
    if digest in store:
        return _Read(index, digest, (0, 0), None)
    image = decode(data)
    return _Read(index, digest, image.size, encoder.preprocess(image))


def _encode(batch: list[_Read], encoder: DualEncoder, store: FeatureCache, found: Embedding) -> None:
    if not batch:
        return
    features = encoder.encode_images(torch.stack([read.pixels for read in batch if read.pixels is not None]))
    rows = torch.tensor([read.index for read in batch])
    found.features[rows] = features
    found.sizes[rows] = torch.tensor([read.size for read in batch])
    store.add((read.sha256, read.size, feature) for read, feature in zip(batch, features, strict=True))


def _ahead(jobs: Iterator["Future[_Read]"], depth: int) -> Iterator["Future[_Read]"]:
    """Keep ``depth`` jobs running ahead of the one that is waited for."""
    window = list(islice(jobs, depth))
    while window:
        yield window.pop(0)
        window.extend(islice(jobs, 1))


def _none_readable(images: ImageSet, skipped: Sequence[tuple[str, str]]) -> str:
    example = f" ({skipped[0][0]}: {skipped[0][1]})" if skipped else ""
    return f"none of the {len(images)} images in {images.root} can be read{example}; give readable images."


def _save_skipped(folder: Path, skipped: Sequence[tuple[str, str]]) -> None:
    partial = folder / f".skipped.{os.getpid()}.partial"
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with partial.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("file_name", "reason"), *skipped])
        partial.replace(folder / "skipped.csv")
