"""From annotations to a classifier: which network, on what, in which order."""

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from zerolabel import networks
from zerolabel.annotate import Annotated, text_features
from zerolabel.annotations import Annotations
from zerolabel.blocks import targets
from zerolabel.blocks.label_propagation import propagate
from zerolabel.classifier import Classifier
from zerolabel.data import images as image_files
from zerolabel.data.classes import Classes
from zerolabel.data.views import Features, Pixels, Preprocess
from zerolabel.data.views.preprocess import IMAGENET, statistics
from zerolabel.diagnostics import calibration
from zerolabel.diagnostics.agreement import agreement
from zerolabel.errors import InputError
from zerolabel.files import write_text
from zerolabel.learners import LEARNERS, Learner
from zerolabel.networks import EncodedNetwork, ImageEncoder, Network
from zerolabel.networks.feature_head import FeatureHead, HeadedNetwork
from zerolabel.presets import HEADS, features_settings
from zerolabel.runs import Config, Folder
from zerolabel.training import EpochLog, Settings, Source, launch, predict, train
from zerolabel.vlms.clip import DualEncoder
from zerolabel.watching import watched

Progress = Callable[[str, Iterator[Any]], Iterable[Any]]
KEPT = 0.95
"""Share of the training images that are at least as confident as a classifier's threshold."""


@dataclass(frozen=True)
class Trained:
    """What training leaves.

    Attributes:
        networks: those that could be deployed, the one first that agrees best with the annotators.
        log_probabilities: of each of them on the training images, eval view.
        agreement: share of the training images on which the first two agree, weak view; none where there is one.
        preprocess: from an image to the networks' input.
    """

    networks: tuple[Network, ...]
    log_probabilities: tuple[Float[Tensor, "N C"], ...]
    agreement: float | None
    preprocess: Preprocess


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


def fit(
    learner: Learner,
    annotations: Annotations,
    source: Source,
    settings: Settings,
    preprocess: Preprocess,
    folder: Folder,
    progress: Progress,
    stage: str,
) -> Trained:
    """Run the loop, keep its log, and put the network first that agrees best with the annotators."""
    log = LogFile(folder / "log.jsonl", stage)
    checkpoint = folder / "checkpoints" / f"{stage.replace(' ', '-')}.safetensors"
    steps = train(learner, source, settings, checkpoint)
    for epoch in progress(stage, watched(steps, learner, source, settings, annotations, log.before)):
        log.add(epoch)
    fabric, size = launch(settings), settings.batch_size * 4
    torch.manual_seed(settings.seed)
    p = [predict(network, source, fabric, size).cpu() for network in learner.networks]
    weak = [predict(network, source, fabric, size, view="weak").argmax(1).cpu() for network in learner.networks[:2]]
    best = max(range(len(p)), key=lambda k: in_candidates(p[k], learner.candidates.cpu()))
    order = sorted(range(len(p)), key=lambda k: k != best)
    return Trained(
        tuple(learner.networks[k].cpu().eval() for k in order),
        tuple(p[k].clamp_min(1e-12).log() for k in order),
        agreement(*weak) if len(weak) == 2 else None,
        preprocess,
    )


def in_candidates(p: Float[Tensor, "N C"], candidates: Tensor) -> float:
    """Share of the annotated images whose predicted class is one of their candidates: a label-free agreement."""
    rows = candidates.any(1)
    chosen = p[rows].argmax(1, keepdim=True)
    return float(candidates[rows].gather(1, chosen).float().mean()) if bool(rows.any()) else 0.0


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


def make_classifier(
    config: Config, trained: Trained, annotations: Annotations, provenance: dict[str, Any]
) -> Classifier:
    """What is deployed: one network, or both, with a temperature and a threshold that no true label set.

    The mean confidence is set to the agreement of the two networks; where there is one network, to its agreement
    with the annotators' best class.
    """
    count = len(trained.networks) if config.deploy == "both" else 1
    logits = torch.stack(trained.log_probabilities[:count]).mean(0)
    target = trained.agreement
    if target is None:
        target = agreement(logits.argmax(1), annotations.scores.argmax(1))
    temperature = calibration.calibrate(logits, target)
    confidence = (logits / temperature).softmax(1).amax(1)
    return Classifier(
        trained.networks[:count],
        config.classes,
        trained.preprocess,
        temperature,
        calibration.threshold_for_share(confidence, KEPT),
        provenance,
    )


def zero_shot(
    encoder: DualEncoder,
    classes: Classes,
    templates: Sequence[str],
    threshold: float,
    provenance: dict[str, Any],
) -> Classifier:
    """The annotating model as a classifier, the baseline that trains nothing: its probabilities are the mean scores.

    On an image that the model's preprocessing need not resize they are the same up to rounding; else Pillow rounds
    resized pixels and the deployed view does not, which moves them a little.

    Args:
        encoder: the one model that annotated.
        classes: that it annotated with.
        templates: that it annotated with.
        threshold: confidence below which it may abstain.
        provenance: how it was made, for its files.

    Raises:
        InputError: the model's texts change with every image.
    """
    if not is_deployable(encoder):
        raise InputError(f"{encoder.name}: texts that each image changes are too slow to deploy; train a student.")
    tower = ImageEncoder(encoder.model.visual, encoder.config)
    if isinstance(encoder.head, FeatureHead):
        network: networks.Network = HeadedNetwork(tower, encoder.head)
    else:
        texts = text_features(encoder, classes, templates)
        network = networks.ZeroShotNetwork(tower, encoder.logit_scale * texts.to(encoder.device))
    return Classifier((network.cpu(),), classes.names, encoder.view, 1.0, threshold, provenance)


def is_deployable(encoder: DualEncoder) -> bool:
    """Whether a model can be a classifier: not where its texts change with every image."""
    return encoder.head is None or isinstance(encoder.head, FeatureHead)


class LogFile:
    """``log.jsonl``: a line an epoch, without the lines of epochs that are done again."""

    def __init__(self, path: Path, stage: str) -> None:
        self.path, self.stage = path, stage
        self.lines: list[dict[str, Any]] = []
        try:
            self.lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        except FileNotFoundError:
            return
        except ValueError:
            raise InputError(f"{path} is damaged; remove it, and --resume goes on without its lines.") from None

    def before(self, epoch: int) -> list[dict[str, Any]]:
        """The lines of the stage's epochs before one."""
        return [line for line in self.lines if line["stage"] == self.stage and line["epoch"] < epoch]

    def add(self, log: EpochLog) -> None:
        """Append an epoch's line."""
        self.lines = [old for old in self.lines if old["stage"] != self.stage or old["epoch"] < log.epoch]
        self.lines.append({"stage": self.stage, **asdict(log)})
        write_text(self.path, "".join(json.dumps(entry) + "\n" for entry in self.lines))


__all__ = ["Trained", "is_deployable", "make_classifier", "train_student", "zero_shot"]
