"""Interface of annotators with features: images and class names in one space."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor

from zerolabel.data.classes import Classes


@dataclass(frozen=True, eq=False)
class Encoder(ABC):
    """Features of images and of class names in one space of D dimensions.

    Attributes:
        name: how the model was named, such as ``"open_clip:ViT-B-32-256/datacomp_s34b_b86k"``.
        head: from image features to logits, where an adapted model has learned its classes in place of their texts.
        classes: the names of these classes; empty where any class can be asked about.
    """

    name: str
    head: torch.nn.Module | None = field(default=None, kw_only=True)
    classes: tuple[str, ...] = field(default=(), kw_only=True)

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Device of the model."""

    @property
    @abstractmethod
    def logit_scale(self) -> float:
        """The factor of the cosine inside the softmax (CLIP, 100 once trained) or the sigmoid (SigLIP)."""

    @property
    @abstractmethod
    def n_parameters(self) -> int:
        """Number of weights."""

    @property
    @abstractmethod
    def revision(self) -> str:
        """Hash of all that features depend on, 16 hexadecimal digits."""

    @property
    @abstractmethod
    def dimensions(self) -> int:
        """D, the length of a feature."""

    @property
    def precisions(self) -> tuple[str, str]:
        """Precision in which images are encoded, and precision in which their features are stored."""
        return "float32", "float32"

    @abstractmethod
    def encode_texts(self, texts: Sequence[str], batch_size: int = 256) -> Float[Tensor, "M D"]:
        """Features of texts, of length 1, on the CPU."""

    def class_features(self, classes: Classes) -> Float[Tensor, "A C D"] | None:
        """Features of every class under A prompts that are given, of length 1; None where texts are encoded."""
        return None

    def probabilities(self, images: Float[Tensor, "B D"], texts: Float[Tensor, "C D"]) -> Float[Tensor, "B C"]:
        """Probability of each class, given that exactly one of them is right.

        CLIP: softmax(scale cos), Radford et al. 2021. SigLIP holds each pair to match with probability
        s_j = sigmoid(scale cos_j + bias), independently (Zhai et al., Sigmoid Loss for Language Image Pre-Training,
        2023); given that exactly one matches, it is j with probability proportional to s_j / (1 - s_j) =
        exp(scale cos_j + bias), so this is the same softmax and the bias cancels.

        Args:
            images: image features of length 1.
            texts: text features of length 1; not used where the model has a head.
        """
        if self.head is not None:
            with torch.inference_mode():
                return cast(Tensor, self.head(images.to(self.device)).softmax(dim=1).cpu())
        return (self.logit_scale * images @ texts.T).softmax(dim=1)


__all__ = ["Encoder"]
