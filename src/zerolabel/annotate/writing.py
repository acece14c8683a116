"""Annotations from images to disk, in memory that does not grow with the number of images but for their names."""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from zerolabel.annotate.cluster import parse_engine
from zerolabel.annotate.embedding import NOT_FINITE, Block, Step, best_batch_size, encode_range, open_store, ranges
from zerolabel.annotate.known import FeatureStore
from zerolabel.annotate.prompt_weights import MOST_IMAGES, estimated_weights
from zerolabel.annotate.shards import Joined, Question, join, part_path, remove, weigh_part, write_part
from zerolabel.annotate.text_features import text_features
from zerolabel.annotations import Annotations, Annotator, candidates
from zerolabel.data.classes import Classes
from zerolabel.data.images import ImageSet
from zerolabel.errors import InputError
from zerolabel.files import parquet
from zerolabel.files.skipped import save_skipped
from zerolabel.vlms.encoder import Encoder

Progress = Callable[[Iterator[Step]], Iterable[Step]]
BLOCK = 1024
"""Images whose features are in memory together while prompts are weighed."""


@dataclass(frozen=True)
class Written:
    """Result of `write`.

    Attributes:
        path: ``annotations.parquet``.
        n_images: readable images, its rows.
        mean_candidates: mean size of the candidate sets that are not empty.
        classes: C names.
        annotators: A provenances.
        skipped: name of each unreadable file, and the reason.
        seconds: duration of the pass over the images.
        images_per_second: speed of that pass without what was known from before; None where that was all.
    """

    path: Path
    n_images: int
    mean_candidates: float
    classes: tuple[str, ...]
    annotators: tuple[Annotator, ...]
    skipped: tuple[tuple[str, str], ...]
    seconds: float
    images_per_second: float | None


def write(
    images: ImageSet,
    encoder: Encoder,
    classes: Classes,
    templates: Sequence[str],
    out: str | os.PathLike[str],
    *,
    rule: str = "union",
    batch_size: int | None = None,
    cache: str | os.PathLike[str] | None = None,
    resume: bool = False,
    progress: Progress = iter,
    engine: str = "local",
    weights: str | Float[Tensor, "A C"] = "uniform",
) -> Written:
    """Annotate images with every prompt template, and write ``annotations.parquet`` and ``skipped.csv``.

    Images are processed in ranges, each a file in ``out/annotations.parts`` until all are joined. The rules
    ``quantile`` and ``posterior`` use all images jointly, so they load all annotations into memory at the end.

    Args:
        images: N images.
        encoder: the model, see `zerolabel.vlms.load`.
        classes: C names with aliases; the text features of a class's names are averaged.
        templates: A prompts, each with ``{}`` where the class name goes.
        out: folder of the two files.
        rule: how candidates are formed, see `zerolabel.annotations.candidates.RULES`.
        batch_size: images per call of the encoder; None chooses it by the device.
        cache: folder of image features, shared between runs; by default ``features`` inside ``out``.
        resume: True if annotations in ``out`` may be replaced.
        progress: wraps the steps of the pass over the images.
        engine: "local" for this process, "ray" for Ray Data on this machine, "ray:ADDRESS" on a cluster.
        weights: prompt weights of the scores: "uniform", "estimated" without labels (see
            `zerolabel.annotate.prompt_weights`), or the weights.

    Raises:
        InputError: an argument is invalid, ``out`` contains annotations, no image is readable, or the disk is full.
    """
    build = candidates.parse_rule(rule)
    encode, folder = _engine(engine), Path(out)
    if not resume and (folder / "annotations.parquet").exists():
        raise InputError(f"{folder} holds annotations already; give --resume, --overwrite or another folder.")
    size = best_batch_size(encoder, batch_size)
    question = Question(classes.names, tuple(templates), text_features(encoder, classes, templates), rule)
    cache = folder / "features" if cache is None else cache
    parts, start, speed = folder / "annotations.parts", time.perf_counter(), None
    for step in progress(encode(images, encoder, question, parts, cache, size)):
        speed = step.images_per_second
    seconds = time.perf_counter() - start
    if len(templates) > 1 and encoder.head is None and not (isinstance(weights, str) and weights == "uniform"):
        given = None if isinstance(weights, str) else weights
        reweigh(images, encoder, question, parts, open_store(encoder, cache, images), given)
    joined = _join(images, parts, folder)
    mean = joined.candidates / max(joined.labeled, 1)
    if not question.by_row:
        mean = _form_candidates(folder / "annotations.parquet", build, rule)
    annotators = tuple(Annotator(encoder.name, encoder.revision, template) for template in templates)
    return Written(
        folder / "annotations.parquet", joined.n_images, mean, classes.names, annotators, joined.skipped, seconds, speed
    )


def reweigh(
    images: ImageSet,
    encoder: Encoder,
    question: Question,
    parts: Path,
    store: FeatureStore,
    weights: Float[Tensor, "A C"] | None,
) -> None:
    """Rewrite the parts with scores of weighted prompts; weights are estimated if none are given."""
    paths = [part_path(parts, place) for place in ranges(len(images))]
    if weights is None:
        every = [name for path in paths for name in parquet.read(path, ["sha256"])["sha256"].to_pylist()]
        some = every[:: max(1, -(-len(every) // MOST_IMAGES))]
        blocks = (store.rows(some[start : start + BLOCK])[0] for start in range(0, len(some), BLOCK))
        weights = estimated_weights(blocks, question.texts, encoder.logit_scale)
    for path in paths:
        weigh_part(path, encoder, store, question, weights)


def _join(images: ImageSet, parts: Path, folder: Path) -> Joined:
    """Join the parts to one file, remove them, and write the list of unreadable images."""
    joined = join([part_path(parts, place) for place in ranges(len(images))], folder / "annotations.parquet")
    save_skipped(folder, joined.skipped)
    remove(parts)
    if not joined.n_images:
        raise InputError(none_readable(images, joined.skipped))
    return joined


def _engine(asked: str) -> Callable[..., Iterator[Step]]:
    name, address = parse_engine(asked)
    if name == "local":
        return _steps
    from zerolabel.annotate.on_ray import steps_on_ray

    return partial(steps_on_ray, address=address)


def _steps(
    images: ImageSet,
    encoder: Encoder,
    question: Question,
    parts: Path,
    cache: str | os.PathLike[str],
    batch_size: int,
) -> Iterator[Step]:
    store, start, skipped, cached = open_store(encoder, cache, images), time.perf_counter(), 0, 0
    for place in ranges(len(images)):
        block = Block()
        for done in encode_range(images, place, encoder, batch_size, store, block):
            if place[0] + done == place[1]:
                write_part(part_path(parts, place), images, block, encoder, store, question)
            now, seconds = (skipped + len(block.skipped), cached + block.cached), time.perf_counter() - start
            yield Step(place[0] + done, len(images), *now, seconds)
        skipped, cached = skipped + len(block.skipped), cached + block.cached


def _form_candidates(path: Path, build: candidates.Rule, rule: str) -> float:
    whole = Annotations.load(path)
    whole = whole.with_candidates(build(whole), rule)
    whole.save(path)
    sizes = whole.candidates.sum(1)
    return float(sizes.sum() / (sizes > 0).sum().clamp_min(1))


def none_readable(images: ImageSet, skipped: Sequence[tuple[str, str]]) -> str:
    """The message where there is nothing to annotate."""
    example = f" ({skipped[0][0]}: {skipped[0][1]})" if skipped else ""
    if skipped and all(reason == NOT_FINITE for _, reason in skipped):
        return f"none of the {len(images)} images in {images.root} can be annotated{example}; choose another --vlm."
    return f"none of the {len(images)} images in {images.root} can be read{example}; give readable images."
