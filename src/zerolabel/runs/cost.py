"""Estimates the duration of a run on a few images, without a download and without keeping anything."""

import time
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from zerolabel import networks, vlms
from zerolabel.annotations import Annotations
from zerolabel.data.images import ImageSet, Unreadable
from zerolabel.data.views import Features, Pixels, Preprocess
from zerolabel.learners import LEARNERS
from zerolabel.networks.base import HEADS
from zerolabel.runs.config import AnnotationConfig, Config, TrainingConfig
from zerolabel.training import Source, time_epoch
from zerolabel.training.settings import Settings
from zerolabel.vlms.clip import DualEncoder

_SAMPLE, _FEW = 128, 32


@dataclass(frozen=True)
class Estimate:
    """Times, from a sample.

    Attributes:
        n_images: found.
        annotation_seconds: for all images; none where the model is not on this machine.
        training_seconds: for all epochs.
    """

    n_images: int
    annotation_seconds: float | None
    training_seconds: float

    @property
    def text(self) -> str:
        """In words."""
        first = "after a download" if self.annotation_seconds is None else f"{self.annotation_seconds:.0f} s"
        return f"annotation {first}, training {self.training_seconds:.0f} s"

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def estimate(config: Config) -> Estimate:
    """Encode a few images and train a late epoch on random ones, and scale up."""
    images = ImageSet.open(config.data.images)
    return Estimate(
        len(images),
        annotation_seconds(config.annotation, images),
        training_seconds(config.training, config.data.classes, len(images)),
    )


def annotation_seconds(annotation: AnnotationConfig, images: ImageSet) -> float | None:
    """For all images and models, from the first images."""
    if annotation.annotations is not None:
        return 0.0
    here = [vlms.is_cached(model) for model in annotation.names]
    each = [seconds_of(model, images) if known else None for model, known in zip(annotation.names, here, strict=True)]
    known = [seconds for seconds in each if seconds is not None]
    return sum(known) if len(known) == len(each) else None


def seconds_of(model: str, images: ImageSet) -> float | None:
    """For all images by one model; none where no image can be read."""
    encoder = vlms.load(model)
    if not isinstance(encoder, DualEncoder):
        return 0.0
    start, read = time.perf_counter(), []
    for i in range(min(32, len(images))):
        try:
            read.append(encoder.normalize(encoder.pixels(images.read(i))[None])[0])
        except Unreadable:
            continue
    if not read:
        return None
    encoder.encode_images(torch.stack(read))
    return (time.perf_counter() - start) / len(read) * len(images)


def training_seconds(training: TrainingConfig, classes: tuple[str, ...], n_images: int) -> float:
    """For all epochs, from one late epoch on a sample of noise."""
    quick = training.student in (*HEADS, "light")
    settings, count = Settings(**training.settings), min(_SAMPLE if quick else _FEW, n_images)
    annotations = blank(classes, count)
    if training.student in HEADS:
        size = 512
        source: Source = Features(torch.nn.functional.normalize(torch.randn(count, 512), dim=1))
    else:
        size = training.size
        noise = torch.randint(256, (count, 3, size, size), dtype=torch.uint8).numpy()
        source = Pixels(noise, Preprocess(size, (0.5,) * 3, (0.25,) * 3), flip=training.flip, strong=training.strong)
    hyper = {} if training.via else training.hyper_parameters
    kind = LEARNERS["distillation" if training.via else training.learner]
    learner = kind(networks.build(training.student, len(classes), size), annotations, **hyper)
    one_epoch = time_epoch(learner, source, replace(settings, batch_size=min(settings.batch_size, count)))
    return one_epoch / count * n_images * settings.epochs


def blank(classes: tuple[str, ...], count: int) -> Annotations:
    """Random annotations."""
    votes = torch.randint(len(classes), (count, 3))
    scores = torch.nn.functional.one_hot(votes, len(classes)).float().mean(1)
    names = tuple(str(i) for i in range(count))
    sizes, labels = torch.ones(count, 2, dtype=torch.long), torch.full((count,), -1)
    return Annotations(classes, names, names, sizes, votes, scores, scores > 0, labels, (), "union")
