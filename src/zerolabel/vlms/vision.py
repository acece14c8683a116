"""Image encoders without texts, beside a vision-language model: ``timm:MODEL`` and ``embeddings:FOLDER``."""

import hashlib
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn

from zerolabel.data.embeddings import Embeddings, open_embeddings
from zerolabel.data.views.preprocess import IMAGENET, RGB, Preprocess
from zerolabel.errors import InputError
from zerolabel.files import strict_json
from zerolabel.networks.joint import VisionTower
from zerolabel.networks.precision import Precision
from zerolabel.networks.timm_backbone import timm_backbone
from zerolabel.vlms.clip import FeaturePrecision
from zerolabel.vlms.names import EMBEDDINGS, TIMM, check_vision_name

_CONFIG, _WEIGHTS = "config.json", "model.safetensors"


@dataclass(frozen=True, eq=False)
class VisionEncoder:
    """A frozen network of timm.

    Attributes:
        name: ``timm:`` and the name of a model or a folder.
        tower: the network.
        view: the preprocessing whose pixels it reads.
        precision: precision in which images are encoded.
        feature_precision: precision of the cached features.
    """

    name: str
    tower: VisionTower
    view: Preprocess
    precision: Precision = "float32"
    feature_precision: FeaturePrecision = "float32"

    @property
    def device(self) -> torch.device:
        """Device of the network."""
        return self.tower.factor.device

    @property
    def n_parameters(self) -> int:
        """Number of weights."""
        return sum(parameter.numel() for parameter in self.tower.parameters())

    @property
    def dimensions(self) -> int:
        """D, the length of a feature."""
        return self.tower.feature_dim

    @cached_property
    def revision(self) -> str:
        """Hash of the architecture and the weights, 16 hexadecimal digits."""
        digest = hashlib.sha256(f"{self.tower.name} {self.tower.size}".encode())
        for name, tensor in sorted(self.tower.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
        return digest.hexdigest()[:16]

    @property
    def preprocessing(self) -> str:
        """Hash of the preprocessing, 16 hexadecimal digits."""
        return hashlib.sha256(repr(self.view).encode()).hexdigest()[:16]

    def pixels(self, image: Image.Image) -> Float[Tensor, "3 S S"]:
        """The preprocessed image."""
        return self.view(torch.from_numpy(np.array(image)))

    def normalize(self, pixels: Float[Tensor, "B 3 S S"]) -> Float[Tensor, "B 3 S S"]:
        """The pixels as they are: nothing is left to do."""
        return pixels

    @torch.inference_mode()
    def encode_images(self, pixels: Float[Tensor, "B 3 S S"]) -> Float[Tensor, "B D"]:
        """Features of preprocessed images, of length 1, on the CPU."""
        features: Tensor = self.tower(pixels.to(self.device, non_blocking=True))
        return features.float().cpu()


@dataclass(frozen=True, eq=False)
class EmbeddedVision:
    """Embeddings of images by an encoder that is not available.

    Attributes:
        name: ``embeddings:`` and a folder.
        embeddings: of the images.
    """

    name: str
    embeddings: Embeddings
    n_parameters: int = 0

    @property
    def device(self) -> torch.device:
        """Device of the features."""
        return torch.device("cpu")

    @property
    def dimensions(self) -> int:
        """D, the length of a feature."""
        return self.embeddings.dimensions

    @property
    def revision(self) -> str:
        """Hash of the embeddings."""
        return self.embeddings.revision


def load(
    spec: str, device: str | torch.device = "cpu", view: Preprocess | None = None
) -> VisionEncoder | EmbeddedVision:
    """Load an encoder, frozen and in eval mode.

    Args:
        spec: ``timm:MODEL``, downloaded once; ``timm:FOLDER`` with the ``config.json`` and ``model.safetensors`` that
            timm saves; or ``embeddings:FOLDER``, see `zerolabel.data.embeddings.open_embeddings`.
        device: where to put it.
        view: the preprocessing that it shares with another encoder; None takes its own.

    Raises:
        InputError: there is no such encoder, or its weights cannot be had.
    """
    check_vision_name(spec)
    if spec.startswith(EMBEDDINGS):
        embeddings = open_embeddings(spec.removeprefix(EMBEDDINGS))
        _ = embeddings.content
        return EmbeddedVision(spec, embeddings)
    rest = spec.removeprefix(TIMM)
    folder = Path(rest).expanduser()
    name, size, own = _of_folder(spec, folder) if folder.is_dir() else _published(spec, rest)
    side = size if view is None else view.size
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        backbone, width, side, loaded = _fitting(name, side, size, folder / _WEIGHTS if folder.is_dir() else None)
    if not loaded:
        reason = str(notes[-1].message).rstrip(".") if notes else "it has no pretrained weights"
        reason = reason.partition("; it starts")[0]
        raise InputError(
            f"--encoder {spec}: {reason}; where they can be had, save the model by timm.models.save_for_hf, copy its "
            "folder here, and give timm:FOLDER."
        )
    shared = Preprocess(side, *own, "crop", "bicubic") if view is None else view
    tower = VisionTower(name, backbone, side, width, (shared.mean, shared.std), own)
    return VisionEncoder(spec, tower.to(device), shared)


def _fitting(name: str, side: int, own: int, file: Path | None) -> tuple[nn.Module, int, int, bool]:
    """The network for a side of its input, else for the next one below that its patches divide, else for its own."""
    for size in dict.fromkeys((side, side // 14 * 14, side // 16 * 16, own)):
        try:
            backbone, width, loaded = timm_backbone(name, size, pretrained=file is None, file=file)
        except InputError:
            if size == own:
                raise
        else:
            return backbone, width, size, loaded
    raise AssertionError("the last size raises")


def _published(spec: str, name: str) -> tuple[str, int, tuple[RGB, RGB]]:
    """Architecture, input size, and mean and standard deviation of a model of timm."""
    import timm

    known = timm.get_pretrained_cfg(name) if timm.is_model(name) else None
    if known is None:
        timm_backbone(name, 224, pretrained=False)
        return name, 224, IMAGENET
    return name, int(known.input_size[-1]), (_rgb(known.mean), _rgb(known.std))


def _of_folder(spec: str, folder: Path) -> tuple[str, int, tuple[RGB, RGB]]:
    """Architecture, input size, and mean and standard deviation of a saved model."""
    try:
        config = strict_json.read(folder / _CONFIG)
        known = config.get("pretrained_cfg", {})
        mean, std = known.get("mean", IMAGENET[0]), known.get("std", IMAGENET[1])
        return str(config["architecture"]), int(known.get("input_size", [3, 224, 224])[-1]), (_rgb(mean), _rgb(std))
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"--encoder {spec}: {folder} holds no model that timm saved ({reason}); save it again."
        ) from None


def _rgb(values: object) -> RGB:
    red, green, blue = (float(value) for value in values)  # type: ignore[attr-defined]
    return red, green, blue


__all__ = ["EmbeddedVision", "VisionEncoder", "load"]
