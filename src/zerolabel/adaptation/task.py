"""Everything that one adaptation reads: the request, the model, the classes, the prompts and the annotated images."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from zerolabel.adaptation.request import Request
from zerolabel.annotate import text_features
from zerolabel.annotate.run import Annotated
from zerolabel.annotations import Annotations
from zerolabel.data.classes import Classes
from zerolabel.errors import InputError
from zerolabel.vlms.clip import DualEncoder
from zerolabel.vlms.encoder import Encoder


@dataclass(frozen=True)
class Task:
    """Inputs of an adaptation.

    Attributes:
        request: method, trainable parts and options.
        encoder: the model to adapt.
        classes: C names with aliases.
        templates: prompts of the annotation that training starts from.
        annotated: the N readable images with features and annotations, which contain the human labels.
    """

    request: Request
    encoder: Encoder
    classes: Classes
    templates: tuple[str, ...]
    annotated: Annotated

    @property
    def model(self) -> DualEncoder:
        """The model, where parts of it are trained.

        Raises:
            InputError: there are only its embeddings.
        """
        if isinstance(self.encoder, DualEncoder):
            return self.encoder
        raise InputError(
            f"--method {self.request.method} trains parts of a model, and {self.encoder.name} has embeddings alone; "
            "give the model itself, or a solver, such as stata."
        )

    @property
    def annotations(self) -> Annotations:
        """Annotations of the unadapted model."""
        return self.annotated.annotations

    @property
    def features(self) -> Float[Tensor, "N D"]:
        """Normalized image features of the unadapted model."""
        return torch.as_tensor(self.annotated.features)

    def mean_texts(self) -> Float[Tensor, "C D"]:
        """Normalized mean text feature of each class over the templates."""
        return functional.normalize(text_features(self.encoder, self.classes, self.templates).mean(0), dim=1)


__all__ = ["Task"]
