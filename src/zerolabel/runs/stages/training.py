"""The training stage: which network learns, on what, in which order."""

import errno
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from zerolabel import networks
from zerolabel.annotate import Annotated, text_features
from zerolabel.annotate.prompt_weights import weighted_texts, weights_of
from zerolabel.annotations import Annotations
from zerolabel.annotations.candidates import check_enough, parse_rule, rule_or_union
from zerolabel.annotations.digest import Digest
from zerolabel.blocks import targets
from zerolabel.blocks.label_propagation import propagate
from zerolabel.data import images as image_files
from zerolabel.data.views import Features, Pixels, Preprocess
from zerolabel.data.views.preprocess import IMAGENET, statistics
from zerolabel.deployment.assembly import make_classifier
from zerolabel.deployment.classifier import Classifier
from zerolabel.errors import InputError
from zerolabel.learners import LEARNERS, Learner
from zerolabel.networks import EncodedNetwork, ImageEncoder
from zerolabel.networks.base import HEADS
from zerolabel.runs.config import TrainingConfig
from zerolabel.runs.context import Context
from zerolabel.runs.inputs import training_data
from zerolabel.runs.presets import features_settings
from zerolabel.runs.provenance import provenance
from zerolabel.training.fitting import Trained, fit
from zerolabel.training.log import LogFile
from zerolabel.training.loop import EpochLog, Source, make_fabric
from zerolabel.training.settings import Settings

SPREAD = "spread over neighbors"
"""How the text of a rule says that scores were propagated before it."""


def train_classifier(context: Context, annotated: Annotated) -> tuple[Trained, Classifier]:
    """The trained networks and the classifier made of them: ``checkpoints/``, ``log.jsonl``, ``classifier/``.

    Finished epochs in the folder's checkpoints are not done again.
    """
    trained = train_student(context, annotated)
    config = context.config
    count = len(trained.networks) if config.deployment.deploy == "both" else 1
    made = provenance(config, annotated)
    classifier = make_classifier(trained, annotated.annotations, config.data.classes, count, made)
    classifier.save(context.folder / "classifier")
    return trained, classifier


def train_student(context: Context, annotated: Annotated) -> Trained:
    """The networks that the configuration asks for, trained on the annotations.

    Raises:
        InputError: too few images have a candidate, see `zerolabel.annotations.candidates.check_enough`.
    """
    config, training = context.config, context.config.training
    check_enough(annotated.annotations)
    if not bool(annotated.annotations.scores.isfinite().all() and annotated.features.isfinite().all()):
        raise InputError("annotations or features hold numbers that are not finite; annotate again.")
    revision = context.encoder.revision if needs_features(training) else ""
    made_of = training_data(config, annotated.annotations, revision)
    if training.propagate and LEARNERS[training.learner].takes_propagated_scores:
        annotated = replace(annotated, annotations=spread(annotated.annotations, annotated.features))
    if training.student in HEADS:
        return on_features(context, training.student, Settings(**training.settings), annotated, made_of)
    annotations = annotated.annotations
    if training.via == "features":
        teacher = on_features(context, "mlp", features_settings(training.settings), annotated, made_of)
        annotations = cleaned(annotations, teacher)
    return on_pixels(context, annotated, annotations, made_of)


def needs_features(training: TrainingConfig) -> bool:
    """Whether training reads the model's frozen features."""
    return training.student in HEADS or training.via is not None or training.propagate


def on_features(
    context: Context, head: str, settings: Settings, annotated: Annotated, made_of: Digest | None = None
) -> Trained:
    """A head on the model's frozen features, deployed on top of its image encoder."""
    training, encoder = context.config.training, context.encoder
    source = Features(annotated.features, make_fabric(settings).device)
    torch.manual_seed(settings.seed)
    texts = start_texts(context, annotated.annotations)
    network = networks.build(head, len(context.classes), annotated.features.shape[1], texts=texts)
    learner = LEARNERS[training.learner](network, annotated.annotations, **training.hyper_parameters)
    heads = fit_stage(
        context, "train on features", learner, annotated.annotations, source, settings, encoder.view, made_of
    )
    tower = ImageEncoder(encoder.model.visual, encoder.config)
    return replace(heads, networks=tuple(EncodedNetwork(tower, head) for head in heads.networks))


def start_texts(context: Context, annotations: Annotations) -> Float[Tensor, "A C D"] | None:
    """Text features times the scale, at which a head starts; none where the classes are not those of the texts."""
    config, encoder = context.config, context.encoder
    if encoder.head is not None or config.data.open_set:
        return None
    prompts = config.annotation.templates.get(str(config.annotation.encoder), ())
    if not prompts:
        return None
    texts, weights = text_features(encoder, context.classes, prompts), weights_of(annotations, encoder.name)
    return encoder.logit_scale * (texts if weights is None else weighted_texts(texts, weights))


def on_pixels(
    context: Context, annotated: Annotated, annotations: Annotations, made_of: Digest | None = None
) -> Trained:
    """A network on small images; through features it learns the cleaned labels, else it runs the learner."""
    training = context.config.training
    settings = Settings(**training.settings)
    store = context.folder / "cache" / f"pixels-{training.size}.npy"
    make_room(store, 3 * training.size**2 * len(annotated.images))
    rows = image_files.pixels(annotated.images, training.size, store)
    torch.manual_seed(settings.seed)
    network = networks.build(training.student, len(context.classes), training.size, pretrained=training.pretrained)
    preprocess = Preprocess(training.size, *(IMAGENET if network.pretrained else statistics(rows)))
    where = make_fabric(settings).device
    source = Pixels(rows, preprocess, flip=training.flip, strong=training.strong, device=where)
    kind, hyper = (
        (LEARNERS["distillation"], {}) if training.via else (LEARNERS[training.learner], training.hyper_parameters)
    )
    learner = kind(network, annotations, **hyper)
    return fit_stage(context, "train", learner, annotations, source, settings, preprocess, made_of)


def fit_stage(
    context: Context,
    stage: str,
    learner: Learner,
    annotations: Annotations,
    source: Source,
    settings: Settings,
    preprocess: Preprocess,
    made_of: Digest | None = None,
) -> Trained:
    """Train with the log and the checkpoint of a stage; a checkpoint that was made of other data is left alone."""
    log = LogFile(context.folder / "log.jsonl", stage)
    checkpoint = context.folder / "checkpoints" / f"{stage.replace(' ', '-')}.safetensors"

    def progress(epochs: Iterator[EpochLog]) -> Iterable[EpochLog]:
        return context.progress(stage, epochs)

    return fit(learner, annotations, source, settings, preprocess, log, checkpoint, progress, made_of)


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
    """The annotations with scores spread over neighbors in feature space, and the candidates that their rule makes."""
    human = targets.one_hot(annotations.labels, len(annotations.classes))
    given = torch.where(annotations.human[:, None], human, annotations.scores)
    scores = torch.where(annotations.human[:, None], human, propagate(given, features))
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
    rule = annotations.rule.removesuffix(f", {SPREAD}")
    made = parse_rule(rule)(changed) if rule_or_union(rule) == rule else annotations.candidates
    best = targets.one_hot(scores.argmax(1), len(annotations.classes)).bool() & scores.any(1, keepdim=True)
    silent = (annotations.spoken == 0) & ~made.any(1)
    return changed.with_candidates(torch.where(silent[:, None], best, made), f"{annotations.rule}, {how}")
