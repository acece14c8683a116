"""The training stage: builds the student and its learner, on frozen features or pixels, and trains them."""

import errno
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from zerolabel import networks
from zerolabel.annotate import Annotated, text_features
from zerolabel.annotate.prompt_weights import weighted_texts, weights_of
from zerolabel.annotations import Annotations
from zerolabel.annotations.candidates import check_enough
from zerolabel.annotations.digest import Digest
from zerolabel.data import images as image_files
from zerolabel.data.classes import Classes
from zerolabel.data.views import Features, Pixels, Preprocess
from zerolabel.data.views.preprocess import IMAGENET, statistics
from zerolabel.errors import InputError
from zerolabel.learners import LEARNERS, Learner
from zerolabel.networks import EncodedNetwork, ImageEncoder
from zerolabel.networks.base import HEADS
from zerolabel.networks.joint import joined_texts
from zerolabel.runs.config import IMITATION, AnnotationConfig, DataConfig, TrainingConfig
from zerolabel.runs.cost import AVERAGING, LEARNING, VALIDATING
from zerolabel.runs.limits import stage_limit
from zerolabel.runs.stages.scores import averaged, cleaned, spread, stacked_with_labels
from zerolabel.runs.stages.validation import validate
from zerolabel.runs.stages.vision import vision_encoder
from zerolabel.runs.workspace import Workspace
from zerolabel.training.fitting import Trained, fit
from zerolabel.training.log import LogFile
from zerolabel.training.loop import EpochLog, Source, make_fabric
from zerolabel.training.pace import Limit
from zerolabel.training.set_aside import remaining, set_aside
from zerolabel.training.settings import Settings
from zerolabel.training.trackers import tracked
from zerolabel.vlms.clip import DualEncoder
from zerolabel.vlms.encoder import Encoder
from zerolabel.vlms.vision import VisionEncoder


def refine_annotations(training: TrainingConfig, annotated: Annotated) -> Annotated:
    """Annotations that training learns from: stacked with human labels, and propagated where that is wanted.

    Raises:
        InputError: too few images have a candidate, or a score or a feature is not finite.
    """
    check_enough(annotated.annotations)
    if not bool(annotated.annotations.scores.isfinite().all() and annotated.features.isfinite().all()):
        raise InputError("annotations or features hold numbers that are not finite; annotate again.")
    if annotated.features.shape[1] and LEARNERS[training.learner].takes_propagated_scores:
        annotated = replace(annotated, annotations=stacked_with_labels(annotated.annotations, annotated.head_features))
    return propagated(training, annotated)


def propagated(training: TrainingConfig, annotated: Annotated) -> Annotated:
    """Annotations with scores spread over neighbors, where that is wanted."""
    if training.propagate and LEARNERS[training.learner].takes_propagated_scores:
        annotated = replace(annotated, annotations=spread(annotated.annotations, annotated.spaces))
    return annotated


def train_stages(
    data: DataConfig,
    annotation: AnnotationConfig,
    training: TrainingConfig,
    workspace: Workspace,
    annotated: Annotated,
    made_of: Digest,
    end: float | None = None,
) -> Iterator[Trained]:
    """Train on the annotations: ``checkpoints/``, ``log.jsonl``; finished epochs are not repeated.

    Args:
        data: classes of the run.
        annotation: the encoder whose features are read.
        training: student, learner and settings.
        workspace: folder and models.
        annotated: the training images.
        made_of: hashes of the inputs; checkpoints of other inputs are ignored.
        end: seconds after the start of the command at which training is to be done; None sets no limit.

    Yields:
        The teacher on frozen features, if there is one, and then the student.

    Raises:
        InputError: too few images have a candidate, see `zerolabel.annotations.candidates.check_enough`.
    """
    given, annotated, settings = annotated, refine_annotations(training, annotated), Settings(**training.settings)
    aside = set_aside(annotated.annotations, training.set_aside, settings.seed)
    fitted = partial(train_on_features, data, annotation, workspace, made_of, end, settings)
    if training.student in HEADS:
        yield train_head(partial(fitted, training.student), training, given, annotated, aside)
        return
    annotations = annotated.annotations
    if training.via == "features":
        teacher = train_head(partial(fitted, "mlp"), training, given, annotated, aside)
        yield replace(teacher, is_teacher=True)
        annotations = cleaned(annotations, teacher)
    yield train_on_pixels(data, training, workspace, annotated.images, annotations, made_of, aside, end)


def needs_features(training: TrainingConfig) -> bool:
    """True if training reads frozen image features."""
    return training.student in HEADS or training.via is not None or training.propagate or training.stack


def train_head(
    fitted: Callable[..., Trained],
    training: TrainingConfig,
    given: Annotated,
    annotated: Annotated,
    aside: Int[Tensor, " S"],
) -> Trained:
    """A head by the learner, or by imitation where human labels say so, see `zerolabel.training.validation`.

    Args:
        fitted: `train_on_features` of everything but the learner, the images and the stage.
        training: learner and settings.
        given: the training images with annotations as they were given.
        annotated: the same with annotations that training learns from.
        aside: ids of images that are not learned.
    """

    def learn(said: Annotations, rows: Int[Tensor, " R"]) -> Float[Tensor, "R C"]:
        part = propagated(training, given.select(said, rows))
        return fitted(training, part, aside[:0], VALIDATING).log_probabilities[0]

    validation = None
    if training.stack and LEARNERS[training.learner].takes_propagated_scores:
        validation = validate(given.annotations, given.head_features, learn, Settings(**training.settings).seed)
    if validation is not None and validation.loses:
        training, annotated = training.imitating, refine_annotations(training.imitating, given)
    heads = fitted(training, annotated, aside, LEARNING)
    if validation is not None and validation.averages:
        said = averaged(annotated.annotations, heads.log_probabilities[0].exp(), annotated.head_features)
        heads = fitted(training.imitating, replace(annotated, annotations=said), aside, AVERAGING)
    return replace(heads, validation=validation)


def train_on_features(
    data: DataConfig,
    annotation: AnnotationConfig,
    workspace: Workspace,
    made_of: Digest,
    end: float | None,
    settings: Settings,
    head: str,
    training: TrainingConfig,
    annotated: Annotated,
    aside: Int[Tensor, " S"],
    stage: str,
) -> Trained:
    """Train a head on frozen features; the returned networks contain the image encoder where there is one."""
    encoder = workspace.model(annotation.required_encoder)
    features, joining = annotated.head_features, [one for one in annotated.vision if one.joins]
    source = Features(features, make_fabric(settings).device)
    torch.manual_seed(settings.seed)
    texts = None if data.open_set else initial_texts(data.names, annotation, encoder, annotated.annotations)
    if texts is not None and joining:
        texts = joined_texts(texts, [annotated.features.shape[1], *(one.features.shape[1] for one in joining)])
    network = networks.build(head, len(data.classes), features.shape[1], texts=texts)
    learned = annotated.annotations.select(remaining(len(annotated.annotations), aside))
    learner = LEARNERS[training.learner](network, learned, **training.hyper_parameters)
    heads = fit_stage(
        workspace, stage, learner, annotated.annotations, source, settings,
        encoder.view if isinstance(encoder, DualEncoder) else None, made_of, aside,
        stage_limit(training, stage, annotated.images, end, workspace.elapsed),
    )  # fmt: skip
    if not isinstance(encoder, DualEncoder):
        return heads
    beside = [vision_encoder(annotation, workspace, one.name) for one in joining]
    towers = [one.tower for one in beside if isinstance(one, VisionEncoder)]
    tower = ImageEncoder(encoder.model.visual, encoder.config, towers)
    return replace(heads, networks=tuple(EncodedNetwork(tower, head) for head in heads.networks))


def initial_texts(
    classes: Classes, annotation: AnnotationConfig, encoder: Encoder, annotations: Annotations
) -> Float[Tensor, "A C D"] | None:
    """Text features times the logit scale, which initialize a head; None if the encoder has no prompts."""
    prompts = annotation.templates.get(str(annotation.encoder), ())
    if encoder.head is not None or not prompts:
        return None
    texts, weights = text_features(encoder, classes, prompts), weights_of(annotations, encoder.name)
    return encoder.logit_scale * (texts if weights is None else weighted_texts(texts, weights))


def train_on_pixels(
    data: DataConfig,
    training: TrainingConfig,
    workspace: Workspace,
    images: image_files.ImageSet,
    annotations: Annotations,
    made_of: Digest,
    aside: Int[Tensor, " S"],
    end: float | None = None,
) -> Trained:
    """Train a network on small images, by the learner or, with ``via``, by distillation of the cleaned labels."""
    settings = Settings(**training.settings)
    store = workspace.folder / "cache" / f"pixels-{training.size}.npy"
    check_free_space(store, 3 * training.size**2 * len(images))
    rows = image_files.pixels(images, training.size, store)
    torch.manual_seed(settings.seed)
    network = networks.build(training.student, len(data.classes), training.size, pretrained=training.pretrained)
    preprocess = Preprocess(training.size, *(IMAGENET if network.pretrained else statistics(rows)))
    where = make_fabric(settings).device
    source = Pixels(rows, preprocess, flip=training.flip, strong=training.strong, device=where)
    kind, hyper = (LEARNERS[IMITATION], {}) if training.via else (LEARNERS[training.learner], training.hyper_parameters)
    learner = kind(network, annotations.select(remaining(len(annotations), aside)), **hyper)
    limit = stage_limit(training, "train", images, end, workspace.elapsed)
    return fit_stage(workspace, "train", learner, annotations, source, settings, preprocess, made_of, aside, limit)


def fit_stage(
    workspace: Workspace,
    stage: str,
    learner: Learner,
    annotations: Annotations,
    source: Source,
    settings: Settings,
    preprocess: Preprocess | None,
    made_of: Digest,
    aside: Int[Tensor, " S"],
    limit: Limit | None = None,
) -> Trained:
    """Train with the log and the checkpoint of a stage."""
    log = LogFile(workspace.folder / "log.jsonl", stage)
    checkpoint = workspace.folder / "checkpoints" / f"{stage.replace(' ', '-')}.safetensors"

    def progress(epochs: Iterator[EpochLog]) -> Iterable[EpochLog]:
        return workspace.progress(stage, tracked(epochs, stage, workspace.trackers, workspace.folder.path))

    return fit(learner, annotations, source, settings, preprocess, log, checkpoint, progress, made_of, aside, limit)


def check_free_space(file: Path, n_bytes: int) -> None:
    """Check that a file of that size fits; on a full disk, writing to a memory map would kill the process silently.

    Raises:
        OSError: there is too little space.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    there = getattr(file.stat(), "st_blocks", 0) * 512 if file.exists() else 0
    if shutil.disk_usage(file.parent).free < n_bytes - there:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file))
