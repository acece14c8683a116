"""Image features that were computed before, with text features of the same space: ``embeddings:FOLDER@TEXTS``."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from zerolabel.data.classes import Classes
from zerolabel.data.embeddings import Embeddings, open_embeddings, split
from zerolabel.data.embeddings.texts import SUFFIXES, ClassTexts
from zerolabel.errors import InputError
from zerolabel.vlms.clip import DualEncoder
from zerolabel.vlms.encoder import Encoder
from zerolabel.vlms.names import ModelName, is_encoder


@dataclass(frozen=True, eq=False)
class EmbeddedImages(Encoder):
    """Embeddings of images and the text side of a model, or embeddings of class names.

    Attributes:
        embeddings: of the images.
        texts: the model that encodes texts, or embeddings of class names.
    """

    embeddings: Embeddings
    texts: DualEncoder | ClassTexts

    @property
    def device(self) -> torch.device:
        """Device of the text encoder."""
        return self.texts.device if isinstance(self.texts, DualEncoder) else torch.device("cpu")

    @property
    def logit_scale(self) -> float:
        """Of the texts' model."""
        return self.texts.logit_scale

    @property
    def n_parameters(self) -> int:
        """Weights of the texts' model; none where class names have embeddings."""
        return self.texts.n_parameters if isinstance(self.texts, DualEncoder) else 0

    @cached_property
    def revision(self) -> str:
        """Hash of the embeddings and of what makes the texts."""
        return hashlib.sha256(f"{self.embeddings.revision} {self.texts.revision}".encode()).hexdigest()[:16]

    @property
    def dimensions(self) -> int:
        """D of the embeddings."""
        return self.embeddings.dimensions

    def encode_texts(self, texts: Sequence[str], batch_size: int = 256) -> Float[Tensor, "M D"]:
        """See `Encoder.encode_texts`.

        Raises:
            InputError: class names have embeddings, and other texts have none.
        """
        if isinstance(self.texts, DualEncoder):
            return self.texts.encode_texts(texts, batch_size)
        raise InputError(
            f"--vlm {self.name}: the embeddings of class names encode no other text; name the model that made the "
            f"embeddings instead, as in embeddings:{self.embeddings.source}@open_clip:ARCH/PRETRAINED."
        )

    def class_features(self, classes: Classes) -> Float[Tensor, "A C D"] | None:
        """See `Encoder.class_features`."""
        return None if isinstance(self.texts, DualEncoder) else self.texts.of(classes.names)


def load(spec: str, rest: str, base: Callable[[str], DualEncoder]) -> EmbeddedImages:
    """Open embeddings with their texts.

    Args:
        spec: how the model is named.
        rest: the part of it behind the kind.
        base: loads a model by its name.

    Raises:
        InputError: the embeddings or the texts cannot be read or do not fit, or it is not known what made them.
    """
    embeddings = open_embeddings(split(rest)[0])
    named = texts_of(spec, rest)
    if not is_encoder(named):
        texts: DualEncoder | ClassTexts = ClassTexts.open(named)
    else:
        texts = base(named)
        origin = embeddings.origin
        if origin is not None and (origin.model == named and origin.revision != texts.revision):
            raise InputError(
                f"--vlm {spec}: {named} has other weights now than when it made these embeddings; run `zerolabel "
                "embed` again."
            )
    if texts.dimensions != embeddings.dimensions:
        raise InputError(
            f"--vlm {spec}: the images' embeddings have {embeddings.dimensions} dimensions and those of the texts "
            f"{texts.dimensions}; give texts of the model that made the embeddings."
        )
    _ = embeddings.content
    return EmbeddedImages(spec, embeddings, texts)


def texts_of(spec: str, rest: str) -> str:
    """Source of the text features: the name of a model, or a file of embeddings.

    Raises:
        InputError: neither the name nor the embeddings say it, or it is none of these.
    """
    source, named = split(rest)
    if named is None:
        origin = open_embeddings(source).origin
        if origin is None:
            raise InputError(
                f"--vlm {spec} does not say what made the embeddings; add the model, as in "
                f"embeddings:{source}@open_clip:ViT-B-32/openai, or a file of class embeddings, as in "
                f"embeddings:{source}@classes.npy."
            )
        named = origin.model
    if Path(named).suffix.lower() in SUFFIXES:
        return named
    if not is_encoder(named) or ModelName.parse(named).kind == "embeddings":
        raise InputError(
            f"--vlm {spec}: {named} is neither a model with a text encoder, such as open_clip:ViT-B-32/openai, nor a "
            f"file of class embeddings ({', '.join(SUFFIXES)}); name one of these after the @."
        )
    return named


__all__ = ["EmbeddedImages", "load", "texts_of"]
