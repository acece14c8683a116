"""The training stage: builds the student and its learner, on frozen features or pixels, and trains them."""

import errno
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from zerolabel import networks
from zerolabel.adaptation.few_shot.correction import corrected
from zerolabel.adaptation.few_shot.stacking import stacked
from zerolabel.annotate import Annotated, text_features
from zerolabel.annotate.prompt_weights import weighted_texts, weights_of
from zerolabel.annotations import Annotations
from zerolabel.annotations.candidates import check_enough, parse_rule, rule_or_union
from zerolabel.annotations.digest import Digest
from zerolabel.blocks import targets
from zerolabel.blocks.label_propagation import propagate_jointly
from zerolabel.data import images as image_files
from zerolabel.data.classes import Classes
from zerolabel.data.views import Features, Pixels, Preprocess
from zerolabel.data.views.preprocess import IMAGENET, statistics
from zerolabel.errors import InputError
from zerolabel.learners import LEARNERS, Learner
from zerolabel.networks import EncodedNetwork, ImageEncoder
from zerolabel.networks.base import HEADS
from zerolabel.networks.joint import joined_texts
from zerolabel.runs.config import AnnotationConfig, DataConfig, TrainingConfig
from zerolabel.runs.limits import stage_limit
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

SPREAD = "spread over neighbors"
"""Suffix of a candidate rule for propagated scores."""
STACKED = "stacked with human labels"
"""Suffix of a candidate rule for scores combined with a probe on human labels."""


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
    annotated, settings = refine_annotations(training, annotated), Settings(**training.settings)
    aside = set_aside(annotated.annotations, training.set_aside, settings.seed)
    on_features = partial(train_on_features, data, annotation, training, workspace, annotated, made_of, aside, end)
    if training.student in HEADS:
        yield on_features(training.student, settings)
        return
    annotations = annotated.annotations
    if training.via == "features":
        teacher = replace(on_features("mlp", settings), is_teacher=True)
        yield teacher
        annotations = cleaned(annotations, teacher)
    yield train_on_pixels(data, training, workspace, annotated.images, annotations, made_of, aside, end)


def needs_features(training: TrainingConfig) -> bool:
    """True if training reads frozen image features."""
    return training.student in HEADS or training.via is not None or training.propagate or training.stack


def train_on_features(
    data: DataConfig,
    annotation: AnnotationConfig,
    training: TrainingConfig,
    workspace: Workspace,
    annotated: Annotated,
    made_of: Digest,
    aside: Int[Tensor, " S"],
    end: float | None,
    head: str,
    settings: Settings,
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
        workspace, "train on features", learner, annotated.annotations, source, settings,
        encoder.view if isinstance(encoder, DualEncoder) else None, made_of, aside,
        stage_limit(training, "train on features", annotated.images, end, workspace.elapsed),
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
    kind, hyper = (
        (LEARNERS["distillation"], {}) if training.via else (LEARNERS[training.learner], training.hyper_parameters)
    )
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


def stacked_with_labels(annotations: Annotations, features: Float[Tensor, "N D"]) -> Annotations:
    """The annotations with scores in which human labels take part on every image.

    See `few_shot.stacking`; where many classes have no label, `few_shot.correction`. The best class of these scores
    joins the candidates, since a rule may read votes alone.
    """
    scores = stacked(annotations.scores, annotations.labels, features)
    if scores is annotations.scores:
        scores = corrected(annotations.scores, features.float(), annotations.labels)
    if scores is annotations.scores:
        return annotations
    made = rescored(annotations, scores, STACKED)
    best = targets.one_hot(scores.argmax(1), len(annotations.classes)).bool()
    return made.with_candidates(made.candidates | best, made.rule)


def spread(annotations: Annotations, spaces: Sequence[Float[Tensor, "N _"]]) -> Annotations:
    """The annotations with scores spread over neighbors in feature space, and the candidates that their rule makes."""
    human = targets.one_hot(annotations.labels, len(annotations.classes))
    given = torch.where(annotations.human[:, None], human, annotations.scores)
    scores = torch.where(annotations.human[:, None], human, propagate_jointly(given, spaces))
    return rescored(annotations, scores, SPREAD)


def cleaned(annotations: Annotations, teacher: Trained) -> Annotations:
    """The annotations with the teacher's mean prediction as scores, and the candidates that their rule makes."""
    return rescored(
        annotations, torch.stack(teacher.log_probabilities).mean(0).softmax(1), "cleaned on frozen features"
    )


def rescored(annotations: Annotations, scores: Float[Tensor, "N C"], how: str) -> Annotations:
    """The annotations with other scores: the candidate rule is applied again, to them and to the votes.

    Where every annotator abstained, the best class of the new scores is the candidate. Candidates that no
    rule made stay as they are.

    Args:
        annotations: with the rule as text.
        scores: that take the place of theirs; a row of zeros is an image of which nothing is known.
        how: what was done to the scores, for the text of the rule.
    """
    changed = annotations.with_scores(scores)
    rule = annotations.rule.removesuffix(f", {SPREAD}").removesuffix(f", {STACKED}")
    made = parse_rule(rule)(changed) if rule_or_union(rule) == rule else annotations.candidates
    best = targets.one_hot(scores.argmax(1), len(annotations.classes)).bool() & scores.any(1, keepdim=True)
    silent = (annotations.n_votes == 0) & ~made.any(1)
    return changed.with_candidates(torch.where(silent[:, None], best, made), f"{annotations.rule}, {how}")
