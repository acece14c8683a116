"""The annotating model itself as a classifier: its image encoder, and its prompts as the head. Nothing is trained."""

from math import log

import torch
from jaxtyping import Float
from torch import Tensor, nn

from zerolabel.networks.base import Network, NetworkSpec
from zerolabel.networks.embedding_input import EmbeddingInput
from zerolabel.networks.encoded import ImageEncoder

NAME = "zero_shot"


class PromptEnsemble(nn.Module):
    """Image features of length 1 -> log of the mean over prompts of ``softmax(scale r . t_a)``.

    With one prompt this is a linear layer up to a constant of the row, which no softmax sees; with several it is not
    linear, and no mean of the text features would be the same.

    Args:
        texts: text features of A prompts and C classes, times the scale.
    """

    def __init__(self, texts: Float[Tensor, "A C D"]) -> None:
        super().__init__()
        self.texts = nn.Parameter(texts.flatten(0, 1).clone(), requires_grad=False)
        self.n_prompts, self.n_classes = texts.shape[:2]

    def forward(self, features: Float[Tensor, "B D"]) -> Float[Tensor, "B C"]:
        """Log-probabilities: their softmax is the annotators' mean score."""
        logits = (features @ self.texts.T).reshape(-1, self.n_prompts, self.n_classes)
        log_mean: Tensor = logits.log_softmax(2).logsumexp(1) - log(self.n_prompts)
        return log_mean


class ZeroShotNetwork(Network):
    """An image encoder followed by the prompts; reads pixels, or the encoder's embeddings.

    Args:
        encoder: is shared, not copied.
        texts: text features of length 1 of A prompts and C classes, times the model's logit scale.
    """

    head: PromptEnsemble

    def __init__(self, encoder: ImageEncoder | EmbeddingInput, texts: Float[Tensor, "A C D"]) -> None:
        n_prompts, n_classes, _ = texts.shape
        spec = NetworkSpec(NAME, n_classes, encoder.size, encoder.config, n_prompts)
        super().__init__(encoder, encoder.feature_dim, spec, pretrained=True)
        self.head = PromptEnsemble(texts)

    @classmethod
    def build(cls, spec: NetworkSpec) -> "ZeroShotNetwork":
        """The architecture that a description means, with weights that are loaded next.

        Raises:
            InputError: the installed open_clip cannot build it.
        """
        encoder = EmbeddingInput(spec.size) if spec.encoder is None else ImageEncoder.build(spec.encoder)
        return cls(encoder, torch.zeros(spec.n_prompts or 1, spec.n_classes, encoder.feature_dim))


__all__ = ["NAME", "PromptEnsemble", "ZeroShotNetwork"]
