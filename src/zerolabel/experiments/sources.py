"""Inputs of the runs of a comparison: pixels or frozen features of all images, prepared once and mapped by each run."""

from collections import deque
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from safetensors.torch import load_file, save_file
from torch import Tensor

from zerolabel import networks, vlms
from zerolabel.annotate import embed
from zerolabel.annotations import Annotations
from zerolabel.data.images import ImageSet, pixels
from zerolabel.data.views import Features, Pixels, Preprocess
from zerolabel.data.views.preprocess import statistics
from zerolabel.errors import InputError
from zerolabel.files import replacing
from zerolabel.networks.base import HEADS, Network
from zerolabel.runs.config import Config
from zerolabel.runs.stages.training import initial_texts
from zerolabel.training import Source, best_device

TEXTS = "texts.safetensors"


def prepare(config: Config, folder: Path, train: ImageSet, test: ImageSet | None, annotations: Annotations) -> None:
    """Decode or encode all images into a folder, once.

    Args:
        config: student and encoder, which all runs share.
        folder: for the files.
        train: the annotated images.
        test: held-out images.
        annotations: of the images of the training, whose prompt weights the head starts with.

    Raises:
        InputError: an image has no features.
    """
    parts = {"train": train, **({} if test is None else {"test": test})}
    if config.training.student not in HEADS:
        for name, images in parts.items():
            pixels(images, config.training.size, folder / f"{name}.npy")
        return
    encoder = vlms.load(config.annotation.required_encoder, best_device(config.training.device))
    for name, images in parts.items():
        if (folder / f"{name}.npy").is_file():
            continue
        embedding = embed(images, encoder, cache=folder / "features")
        deque(embedding.steps, 0)
        if embedding.skipped:
            raise InputError(f"{embedding.skipped[0][0]} has no features ({embedding.skipped[0][1]}); leave it out.")
        with replacing(folder / f"{name}.npy") as partial, partial.open("wb") as file:
            np.save(file, embedding.features.numpy())
    texts = initial_texts(config.data.names, config.annotation, encoder, annotations)
    with replacing(folder / TEXTS) as partial:
        save_file({} if texts is None else {"texts": texts.contiguous()}, partial)


def network_of(config: Config, folder: Path) -> tuple[Network, Preprocess | None]:
    """A new student, and its preprocessing; none where it is a head on features."""
    training, rows = config.training, np.load(folder / "train.npy", mmap_mode="r")
    if training.student in HEADS:
        texts: Float[Tensor, "A C D"] | None = load_file(folder / TEXTS).get("texts")
        return networks.build(training.student, len(config.data.classes), rows.shape[1], texts=texts), None
    network = networks.build(training.student, len(config.data.classes), training.size, pretrained=training.pretrained)
    return network, Preprocess(training.size, *statistics(rows))


def source_of(config: Config, folder: Path, name: str, preprocess: Preprocess | None, device: torch.device) -> Source:
    """Views of the prepared images of a part, ``train`` or ``test``."""
    rows, training = np.load(folder / f"{name}.npy", mmap_mode="r"), config.training
    if preprocess is None:
        return Features(torch.from_numpy(np.array(rows)), device)
    return Pixels(rows, preprocess, flip=training.flip, strong=training.strong, device=device)


__all__ = ["network_of", "prepare", "source_of"]
