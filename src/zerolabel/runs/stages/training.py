"""The training stage: which network learns, on what, in which order."""

import errno
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from zerolabel import networks
from zerolabel.annotate import Annotated
from zerolabel.annotations import Annotations
from zerolabel.blocks import targets
from zerolabel.blocks.label_propagation import propagate
from zerolabel.data import images as image_files
from zerolabel.data.views import Features, Pixels, Preprocess
from zerolabel.data.views.preprocess import IMAGENET, statistics
from zerolabel.learners import LEARNERS
from zerolabel.networks import EncodedNetwork, ImageEncoder
from zerolabel.networks.base import HEADS
from zerolabel.runs.config import Config
from zerolabel.runs.folder import Folder
from zerolabel.runs.presets import features_settings
from zerolabel.training.fitting import Progress, Trained, fit
from zerolabel.training.loop import launch
from zerolabel.training.settings import Settings
from zerolabel.vlms.clip import DualEncoder


def train_student(
    config: Config, folder: Folder, annotated: Annotated, encoder: Callable[[], DualEncoder], progress: Progress
) -> Trained:
    """Train what the configuration asks for; finished epochs in the folder's checkpoints are not done again.

    Args:
        config: what was asked.
        folder: of the run.
        annotated: annotations, images, and the frozen features where they are needed.
        encoder: loads the vision-language model, for a student that reads its features.
        progress: shows the epochs as they pass.
    """
    if config.propagate:
        annotated = replace(annotated, annotations=spread(annotated.annotations, annotated.features))
    if config.student in HEADS:
        return on_features(config, Settings(**config.settings), folder, annotated, encoder(), progress)
    annotations = annotated.annotations
    if config.via == "features":
        head = replace(config, student="mlp")
        teacher = on_features(head, features_settings(config.settings), folder, annotated, encoder(), progress)
        annotations = cleaned(annotations, teacher)
    return on_pixels(config, folder, annotated, annotations, progress)


def needs_features(config: Config) -> bool:
    """Whether training reads the model's frozen features."""
    return config.student in HEADS or config.via is not None or config.propagate


def on_features(
    config: Config,
    settings: Settings,
    folder: Folder,
    annotated: Annotated,
    encoder: DualEncoder,
    progress: Progress,
) -> Trained:
    """A head on the model's frozen features, deployed on top of its image encoder."""
    source = Features(annotated.features, launch(settings).device)
    torch.manual_seed(settings.seed)
    network = networks.build(config.student, len(config.classes), annotated.features.shape[1])
    learner = LEARNERS[config.learner](network, annotated.annotations, **config.hyper_parameters)
    heads = fit(learner, annotated.annotations, source, settings, encoder.view, folder, progress, "train on features")
    tower = ImageEncoder(encoder.model.visual, encoder.config)
    return replace(heads, networks=tuple(EncodedNetwork(tower, head) for head in heads.networks))


def on_pixels(
    config: Config, folder: Folder, annotated: Annotated, annotations: Annotations, progress: Progress
) -> Trained:
    """A network on small images; by way of features it learns the cleaned labels, else it runs the learner."""
    settings = Settings(**config.settings)
    store = folder / "cache" / f"pixels-{config.size}.npy"
    make_room(store, 3 * config.size**2 * len(annotated.images))
    rows = image_files.pixels(annotated.images, config.size, store)
    torch.manual_seed(settings.seed)
    network = networks.build(config.student, len(config.classes), config.size, pretrained=config.pretrained)
    preprocess = Preprocess(config.size, *(IMAGENET if network.pretrained else statistics(rows)))
    where = launch(settings).device
    source = Pixels(rows, preprocess, flip=config.flip, strong=config.strong, device=where)
    kind, hyper = (LEARNERS["distillation"], {}) if config.via else (LEARNERS[config.learner], config.hyper_parameters)
    learner = kind(network, annotations, **hyper)
    return fit(learner, annotations, source, settings, preprocess, folder, progress, "train")


def make_room(file: Path, n_bytes: int) -> None:
    """See that a file of that size fits; writing to a mapped file on a full disk would end the process unheard.

    Raises:
        OSError: it does not.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    there = getattr(file.stat(), "st_blocks", 0) * 512 if file.exists() else 0
    if shutil.disk_usage(file.parent).free < n_bytes - there:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file))


def spread(annotations: Annotations, features: Float[Tensor, "N D"]) -> Annotations:
    """The annotations with scores spread over neighbours in feature space, and the best class as the candidate."""
    human = targets.one_hot(annotations.labels, len(annotations.classes))
    given = torch.where(annotations.human[:, None], human, annotations.scores)
    scores = torch.where(annotations.human[:, None], human, propagate(given, features))
    best = targets.one_hot(scores.argmax(1), len(annotations.classes)).bool() & scores.any(1, keepdim=True)
    return replace(annotations, scores=scores).with_candidates(best, f"{annotations.rule}, spread over neighbours")


def cleaned(annotations: Annotations, teacher: Trained) -> Annotations:
    """The annotations with the teacher's mean prediction as scores and its best class as the candidate."""
    scores = torch.stack(teacher.log_probabilities).mean(0).softmax(1)
    best = torch.zeros_like(annotations.candidates).scatter_(1, scores.argmax(1, keepdim=True), True)
    return replace(annotations, scores=scores).with_candidates(best, "cleaned on frozen features")
