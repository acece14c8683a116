"""Annotations and features, in memory or mapped, for what comes after in the same process."""

import os
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from jaxtyping import Float, Int
from torch import Tensor

from zerolabel.annotate.embedding import mapped, open_store
from zerolabel.annotate.writing import Progress, Written, write
from zerolabel.annotations import Annotations
from zerolabel.data.classes import Classes
from zerolabel.data.images import ImageSet
from zerolabel.networks.joint import joined
from zerolabel.vlms.encoder import Encoder


@dataclass(frozen=True)
class Vision:
    """Features of a vision-only encoder.

    Attributes:
        name: of the encoder.
        revision: hash of its weights, or of its embeddings.
        features: of length 1.
        joins: True if a head may read them beside those of the annotating model.
    """

    name: str
    revision: str
    features: Float[Tensor, "N E"]
    joins: bool


@dataclass(frozen=True)
class Annotated:
    """Result of `annotate`.

    Attributes:
        annotations: votes, scores and candidates of the N readable images.
        images: the readable images, in the order of the annotations.
        features: image features of length 1, mapped from a file.
        skipped: name of each unreadable file, and the reason.
        seconds: duration of the pass over the images.
        images_per_second: speed of that pass without what was known from before; None where that was all.
        vision: the same images by encoders beside the annotating model.
    """

    annotations: Annotations
    images: ImageSet
    features: Float[Tensor, "N D"]
    skipped: tuple[tuple[str, str], ...]
    seconds: float
    images_per_second: float | None
    vision: tuple[Vision, ...] = ()

    @property
    def spaces(self) -> tuple[Float[Tensor, "N _"], ...]:
        """Features of all encoders, apart."""
        return (self.features, *(one.features for one in self.vision))

    @property
    def head_features(self) -> Float[Tensor, "N D"]:
        """Features that a head reads: those of the annotating model, joined with those of other encoders."""
        return joined([self.features, *(one.features for one in self.vision if one.joins)])

    def select(self, annotations: Annotations, rows: Int[Tensor, " R"]) -> "Annotated":
        """The features of some images with other annotations of these; the images stay all."""
        beside = tuple(replace(one, features=one.features[rows]) for one in self.vision)
        return replace(self, annotations=annotations, features=self.features[rows], vision=beside)


def annotate(
    images: ImageSet,
    encoder: Encoder,
    classes: Classes,
    templates: Sequence[str],
    *,
    out: str | os.PathLike[str] | None = None,
    rule: str = "union",
    batch_size: int | None = None,
    cache: str | os.PathLike[str] | None = None,
    resume: bool = False,
    progress: Progress = iter,
    engine: str = "local",
    weights: str | Float[Tensor, "A C"] = "uniform",
) -> Annotated:
    """Let every prompt template vote on every image.

    Each (model, template) is an annotator: one softmax per template, its argmax is the template's vote, and the mean
    of the templates' probabilities is the score. Unreadable images are left out and listed. `write` does the same
    without reading the annotations back.

    Args:
        images: N images.
        encoder: the model, see `zerolabel.vlms.load`.
        classes: C names with aliases; the text features of a class's names are averaged.
        templates: A prompts, each with ``{}`` where the class name goes.
        out: folder for ``annotations.parquet`` and ``skipped.csv``; None keeps neither.
        rule: how candidates are formed, see `zerolabel.annotations.candidates.RULES`.
        batch_size: images per call of the encoder; None chooses it by the device.
        cache: folder of image features, shared between runs; by default ``features`` inside ``out``. A further
            call with other prompts, classes or rules needs no pass over the encoder.
        resume: whether annotations that already are in ``out`` may be replaced; features found in the cache are
            used in any case.
        progress: wraps the steps of the pass over the images, such as ``tqdm`` or a function that shows a bar.
        engine: see `write`.
        weights: of the prompts in the scores, "uniform", "estimated" or given, see `zerolabel.annotate.write`.

    Raises:
        InputError: the rule or a template is wrong, ``out`` holds annotations already, no image is readable, or the
            disk is full (what was encoded before stays in the cache).
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()) if out is None else out)
        cache = folder / "features" if cache is None else cache
        written = write(
            images, encoder, classes, templates, folder, rule=rule, batch_size=batch_size, cache=cache, resume=resume,
            progress=progress, engine=engine, weights=weights,
        )  # fmt: skip
        return read_back(written, images, encoder, cache)


def read_back(written: Written, images: ImageSet, encoder: Encoder, cache: str | os.PathLike[str]) -> Annotated:
    """Read written annotations, with the features of the images."""
    annotations = Annotations.load(written.path)
    left_out = {name for name, _ in written.skipped}
    readable = images.select([i for i, name in enumerate(images.file_names) if name not in left_out])
    store = open_store(encoder, cache, images)
    features = mapped(store, annotations.sha256, range(len(annotations)), len(annotations))
    return Annotated(annotations, readable, features, written.skipped, written.seconds, written.images_per_second)
