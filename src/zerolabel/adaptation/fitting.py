"""Fit what an adaptation names: a head on fixed features, or trainable parts of the model."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from zerolabel.adaptation import few_shot, transduction
from zerolabel.adaptation.task import Task
from zerolabel.adaptation.training_targets import initial_prompt, text_classifier_targets, training_targets
from zerolabel.adaptation.transduction import SOLVERS
from zerolabel.annotations.digest import Digest
from zerolabel.data.images import ImageSet, decode
from zerolabel.data.views import Features, Pixels
from zerolabel.learners import LEARNERS, hyper_parameters
from zerolabel.training import EpochLog, Source, predict, train
from zerolabel.training.loop import make_fabric
from zerolabel.vlms import adapted
from zerolabel.vlms.clip import DualEncoder

BLOCK = 1024
"""Images that are decoded at once."""


@dataclass(frozen=True)
class Fitted:
    """Result of training, of a few-shot method or of a solver.

    Attributes:
        probabilities: predictions on the training images.
        state: trained tensors by name.
        facts: entries of the record: ``tune``, ``words``, ``templates`` and the ``log``.
    """

    probabilities: Float[Tensor, "N C"]
    state: dict[str, Tensor]
    facts: dict[str, Any]


def fit_head(task: Task) -> Fitted:
    """Fit a head on fixed features, to human labels by a few-shot method or to all images by a solver.

    Raises:
        InputError: a few-shot method finds no human label.
    """
    request, features, scale = task.request, task.annotated.features, task.encoder.logit_scale
    texts, options = task.mean_texts(), request.options()
    if request.method in SOLVERS:
        head = transduction.fit_head(request.method, features, texts, scale, **options)
    else:
        if "seed" in few_shot.defaults(request.method):
            options = {"seed": request.training().seed, **options}
        head = few_shot.learn(request.method, features, task.annotations.labels, texts, scale, **options)
    facts = {"tune": "", "words": "", "templates": list(task.templates[:1]), "log": []}
    return Fitted(head(features).softmax(1), head.state_dict(), facts)


class Training:
    """A network with trainable parts of the model, and its learner; built before anything is written.

    Raises:
        InputError: the model has no such parts, or the learner rejects its hyper-parameters or the labels.
    """

    def __init__(self, task: Task) -> None:
        request, model = task.request, task.model
        self.task, self.settings = task, request.training()
        targets = training_targets(task)
        torch.manual_seed(self.settings.seed)
        tune = "+".join(request.parts)
        words, used = initial_prompt(task.templates, request.parts, request.start)
        network = adapted.prompted(model, task.classes, tune, words, used)
        if request.method == "lafter":
            targets = text_classifier_targets(task, network, self.settings.seed)
        hyper = request.options()
        if "scale" in hyper_parameters(LEARNERS[request.learner]):
            hyper = {"scale": task.encoder.logit_scale, **hyper}
        self.learner = LEARNERS[request.learner](network, targets, **hyper)
        self.facts = {"tune": tune, "words": words, "templates": list(used)}

    def run(
        self, folder: Path, progress: Callable[[Iterator[EpochLog]], Iterable[EpochLog]], made_of: Digest
    ) -> Fitted:
        """Train, resuming from the checkpoint in the folder if it was made of the same data."""
        pixels, fabric = folder / "pixels.npy", make_fabric(self.settings)
        source = training_source(self.task, fabric.device, pixels)
        logs = list(progress(train(self.learner, source, self.settings, folder / "checkpoint.safetensors", made_of)))
        network = self.learner.network
        after = predict(network, source, make_fabric(self.settings), self.settings.batch_size * 4).cpu()
        pixels.unlink(missing_ok=True)
        return Fitted(after, network.state_dict(), {**self.facts, "log": [log.to_dict() for log in logs[-1:]]})


def training_source(task: Task, device: torch.device, store: Path) -> Source:
    """Features if training does not change them, otherwise the images, whose pixels are written to a file."""
    request, annotated = task.request, task.annotated
    if request.on_features:
        return Features(annotated.features, device)
    rows = cropped_pixels(annotated.images, task.model, store)
    return Pixels(rows, task.model.view, flip=request.flip, crop=request.crop, device=device)


def cropped_pixels(images: ImageSet, encoder: DualEncoder, store: Path) -> UInt8[np.ndarray, "N 3 S S"]:
    """All images resized and cropped by the model's preprocessing, rounded to bytes, as a memory map of a file."""
    side = encoder.view.size
    rows = np.lib.format.open_memmap(store, "w+", np.uint8, (len(images), 3, side, side))

    def fill(i: int) -> None:
        image = torch.from_numpy(np.array(decode(images.read_bytes(i))))
        rows[i] = encoder.view.resize(image).round().byte().numpy()

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(images), BLOCK):
            list(pool.map(fill, range(start, min(start + BLOCK, len(images)))))
    return rows


__all__ = ["Fitted", "Training", "cropped_pixels", "fit_head", "training_source"]
