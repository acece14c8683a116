"""Classifier: networks, class names, eval view and calibration; what is exported is what was evaluated."""

import hashlib
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from zerolabel.data.images import Images, Unreadable, as_image_set, enough_memory
from zerolabel.data.views import Preprocess
from zerolabel.deployment import embedding_inputs, validation
from zerolabel.errors import InputError
from zerolabel.files import atomic, strict_json
from zerolabel.files.plain_json import dumps
from zerolabel.networks import Network, NetworkSpec, count_parameters, rebuild
from zerolabel.version import __version__

FORMAT = 1
CONFIG, WEIGHTS = "config.json", "model.safetensors"
_DAMAGE = (
    *(KeyError, TypeError, ValueError, AttributeError, RuntimeError, IndexError, ArithmeticError, AssertionError),
    *(MemoryError, RecursionError, OSError, SafetensorError),
)
"""Exceptions that libraries raise for damaged files of a classifier."""


@dataclass(frozen=True, eq=False)
class Classifier:
    """Images in, class probabilities out.

    Attributes:
        networks: one by default; of several, the mean of the logits decides.
        classes: C class names; a class id is its place here.
        preprocess: the eval view; none where it reads embeddings in the place of images.
        temperature: divides the logits, see `zerolabel.diagnostics.calibration`.
        threshold: confidence in [0, 1] below which `predict` abstains where it is asked to; none where unknown.
        provenance: how it was made, as data for JSON.

    Raises:
        InputError: the parts do not fit together.
    """

    networks: tuple[Network, ...]
    classes: tuple[str, ...]
    preprocess: Preprocess | None
    temperature: float = 1.0
    threshold: float | None = None
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.networks:
            raise InputError("a classifier needs at least one network.")
        for network in self.networks:
            if network.spec.n_classes != len(self.classes):
                given = f"{network.spec.n_classes} classes, but {len(self.classes)} are named"
                raise InputError(f"the network '{network.spec.name}' has {given}; give the names it was trained on.")
        if not 0 < self.temperature < float("inf"):
            raise InputError(f"the temperature must be a positive number, not {self.temperature}.")
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise InputError(f"the threshold is a confidence between 0 and 1, not {self.threshold}.")

    @property
    def dimensions(self) -> int | None:
        """D of the embeddings that it reads; none where it reads images."""
        return self.networks[0].spec.size if self.preprocess is None else None

    @property
    def n_parameters(self) -> int:
        """Number of weights of all its networks, each shared one once."""
        return count_parameters(nn.ModuleList(self.networks))

    @property
    def device(self) -> torch.device:
        """Device of the networks."""
        network = self.networks[0]
        return next(chain(network.parameters(), network.buffers())).device

    def to(self, device: str | torch.device) -> "Classifier":
        """Move its networks."""
        for network in self.networks:
            network.to(device)
        return self

    def predict_proba(self, images: Images, *, batch_size: int = 64) -> Float[Tensor, "N C"]:
        """Class probabilities; arguments, order and unreadable images as in `logits`."""
        return (self.logits(images, batch_size=batch_size) / self.temperature).softmax(1)

    def predict(self, images: Images, *, batch_size: int = 64, threshold: float | None = None) -> list[str | None]:
        """Class names.

        Args:
            images: see `logits`.
            batch_size: images at a time.
            threshold: abstain, with None, below this confidence; `Classifier.threshold` is the one to give for the
                share of images that was asked for. None is also the answer for an image that cannot be read.
        """
        return self.decide(self.predict_proba(images, batch_size=batch_size), threshold)

    def decide(self, probabilities: Float[Tensor, "N C"], threshold: float | None = None) -> list[str | None]:
        """The most probable class names; None below the threshold and where a row is not a number."""
        best, index = probabilities.max(1)
        known = best >= (threshold or 0.0)
        return [self.classes[i] if sure else None for i, sure in zip(index.tolist(), known.tolist(), strict=True)]

    @torch.inference_mode()
    def logits(self, images: Images, *, batch_size: int = 64) -> Float[Tensor, "N C"]:
        """Mean logits of its networks, before the temperature, on the processor.

        Args:
            images: one image or several, as paths, PIL images or arrays, or a folder, a list of files or an image set;
                see `zerolabel.data.images.as_image_set`. Of a classifier that reads embeddings: an array of N x D, or
                ``embeddings:FOLDER``.
            batch_size: images at a time; memory stays bounded by it.

        Returns:
            A row per image, in their order. An image that cannot be read has a row that is not a number, and a
            warning says how many there were.

        Raises:
            InputError: there is no such folder or file, an array is not an image, or images are given for embeddings.
        """
        if self.dimensions is not None:
            parts = embedding_inputs.batches(images, self.dimensions, batch_size)
            return torch.cat([torch.zeros(0, len(self.classes)), *map(self._forward, parts)])
        given, preprocess = as_image_set(images), self.preprocess
        assert preprocess is not None
        count = len(given)
        rows = torch.full((count, len(self.classes)), torch.nan)
        failures: dict[int, str] = {}

        def view(index: int) -> Tensor | None:
            try:
                with enough_memory():
                    return preprocess(torch.from_numpy(np.array(given.read(index))))
            except Unreadable as error:
                failures[index] = str(error)
                return None

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for start in range(0, count, batch_size):
                views = list(pool.map(view, range(start, min(start + batch_size, count))))
                readable = [start + i for i, one in enumerate(views) if one is not None]
                if readable:
                    rows[readable] = self._forward(torch.stack([one for one in views if one is not None]))
        if failures:
            first = min(failures)
            name = given.file_names[first]
            message = f"{len(failures)} of {count} images cannot be read, first {name} ({failures[first]})."
            warnings.warn(message, stacklevel=2)
        return rows

    def _forward(self, batch: Float[Tensor, "B ..."]) -> Float[Tensor, "B C"]:
        batch = batch.to(self.device)
        return torch.stack([network.eval()(batch).float() for network in self.networks]).mean(0).cpu()

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write `model.safetensors` and `config.json` into a folder.

        Each file is there whole or not at all, and the second names the first by its hash, so that halves of two
        saves are never taken for one classifier.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        with atomic(folder / WEIGHTS) as partial:
            save_file(self._state(), partial, metadata={"format": "pt"})
            digest = _sha256(partial)
        config = {
            "format": FORMAT,
            "zerolabel": __version__,
            "id2label": {str(i): name for i, name in enumerate(self.classes)},
            "networks": [network.spec.to_dict() for network in self.networks],
            "preprocess": None if self.preprocess is None else self.preprocess.to_dict(),
            "temperature": self.temperature,
            "threshold": self.threshold,
            "weights_sha256": digest,
            "provenance": self.provenance,
        }
        config[validation.CHECKSUM] = validation.checksum(config)
        with atomic(folder / CONFIG) as partial:
            partial.write_text(dumps(config, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: str | os.PathLike[str], device: str | torch.device = "cpu") -> "Classifier":
        """Read what `save` wrote; nothing is downloaded, no other path is read, and no pickle is opened.

        Everything is checked before a network is built, see `zerolabel.deployment.validation`.

        Args:
            folder: of the classifier, or of the run that made it.
            device: where to compute.

        Raises:
            InputError: there is no classifier in the folder, or it is damaged.
        """
        folder = _of_run(Path(folder))
        for name in (CONFIG, WEIGHTS):
            if not (folder / name).is_file():
                raise InputError(
                    f"there is no classifier in {folder}: it lacks {name}; give the folder of a finished run, "
                    "or the one that `save` wrote."
                )
        try:
            config = strict_json.read(folder / CONFIG)
            if config["format"] != FORMAT:
                raise InputError(
                    f"{folder / CONFIG} has format {config['format']}, this zerolabel reads {FORMAT}; update it."
                )
            if config["weights_sha256"] != _sha256(folder / WEIGHTS):
                raise ValueError(f"{WEIGHTS} is not the file that was saved with it")
            classes = validation.check_config(config)
            view = config["preprocess"]
            preprocess = None if view is None else Preprocess.from_dict(view)
            specs = [NetworkSpec.from_dict(spec) for spec in config["networks"]]
            for spec in specs:
                validation.check_spec(spec, len(classes), None if preprocess is None else preprocess.size)
            validation.check_weights(folder / WEIGHTS, specs)
            validation.check_checksum(config, CONFIG)
            networks, state = tuple(rebuild(spec) for spec in specs), load_file(folder / WEIGHTS)
            validation.check_finite(state)
            nn.ModuleList(networks).load_state_dict(state)
            classifier = cls(
                networks=networks,
                classes=classes,
                preprocess=preprocess,
                temperature=config["temperature"],
                threshold=config["threshold"],
                provenance=config["provenance"],
            )
        except InputError as error:
            raise InputError(f"the classifier in {folder} cannot be read: {error}") from None
        except _DAMAGE as error:
            reason = (str(error).splitlines() or [""])[0].rstrip(".")
            reason = reason if type(error) is ValueError and reason else f"{type(error).__name__}: {reason}"
            raise InputError(f"the classifier in {folder} is damaged ({reason}); save it again.") from None
        return classifier.to(device)

    def _state(self) -> dict[str, Tensor]:
        """Every weight, with memory of its own: networks may share an encoder."""
        state = nn.ModuleList(self.networks).state_dict()
        return {
            name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in state.items()
        }


def _of_run(folder: Path) -> Path:
    """The folder of the classifier, where that of a run is given."""
    inner = folder / "classifier"
    if inner.is_dir():
        return inner
    if (folder / "stages.json").is_file():
        raise InputError(f"the run in {folder} has no classifier yet; finish it with --resume.")
    return folder


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


__all__ = ["Classifier"]
