"""Head of few-shot methods and class weights: from image features to logits."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from zerolabel.networks.base import Network, NetworkSpec
from zerolabel.networks.embedding_input import EmbeddingInput
from zerolabel.networks.encoded import ImageEncoder

NAME = "feature_head"


class FeatureHead(nn.Module):
    """``logits = r . W^T + b + exp(beta (r . K^T - 1)) V``, where two layers may change r before.

    A linear probe has W and b, Tip-Adapter W, K and V, CLIP-Adapter W and the layers; W is a text classifier where
    nothing else is known of a class. Nothing is trained here.

    Args:
        weights: W.
        bias: b; zero where none is given.
        keys: K, features of M labeled images, of length 1.
        values: V, what each of them says.
        beta: how fast a key's weight falls with distance.
        layers: W_1 and the transpose of W_2, see `adapted`.
        ratio: the layers' share.
    """

    weights: Float[Tensor, "C D"]
    bias: Float[Tensor, " C"]
    keys: Float[Tensor, "M D"]
    values: Float[Tensor, "M C"]
    beta: Float[Tensor, ""]
    layers: Float[Tensor, "2 H D"]
    ratio: Float[Tensor, ""]

    def __init__(
        self,
        weights: Float[Tensor, "C D"],
        *,
        bias: Float[Tensor, " C"] | None = None,
        keys: Float[Tensor, "M D"] | None = None,
        values: Float[Tensor, "M C"] | None = None,
        beta: float = 1.0,
        layers: Float[Tensor, "2 H D"] | None = None,
        ratio: float = 0.0,
    ) -> None:
        super().__init__()
        n_classes, width = weights.shape
        parts = {
            "weights": weights,
            "bias": weights.new_zeros(n_classes) if bias is None else bias,
            "keys": weights.new_zeros(0, width) if keys is None else keys,
            "values": weights.new_zeros(0, n_classes) if values is None else values,
            "beta": weights.new_tensor(beta),
            "layers": weights.new_zeros(2, 0, width) if layers is None else layers,
            "ratio": weights.new_tensor(ratio),
        }
        for name, tensor in parts.items():
            self.register_buffer(name, tensor.detach().clone())

    @property
    def shapes(self) -> dict[str, list[int]]:
        """Of its tensors; enough for `blank`."""
        return {name: list(tensor.shape) for name, tensor in self.state_dict().items()}

    @classmethod
    def blank(cls, shapes: Mapping[str, Sequence[int]]) -> "FeatureHead":
        """One with such tensors, all zero, for values that are loaded next."""
        zero = {name: torch.zeros(tuple(shape)) for name, shape in shapes.items()}
        return cls(zero["weights"], bias=zero["bias"], keys=zero["keys"], values=zero["values"], layers=zero["layers"])

    def forward(self, features: Float[Tensor, "B D"]) -> Float[Tensor, "B C"]:
        """Logits of features of length 1."""
        r = adapted(features, self.layers, self.ratio) if self.layers.shape[1] else features
        logits = r @ self.weights.T + self.bias
        if len(self.keys):
            logits = logits + (self.beta * (r @ self.keys.T - 1)).exp() @ self.values
        return logits


def adapted(
    features: Float[Tensor, "N D"], layers: Float[Tensor, "2 H D"], ratio: float | Float[Tensor, ""]
) -> Float[Tensor, "N D"]:
    """``l2(ratio relu(W_2 relu(W_1 r)) + (1 - ratio) r)``."""
    changed = ((features @ layers[0].T).relu() @ layers[1]).relu()
    return F.normalize(ratio * changed + (1 - ratio) * features, dim=1)


class HeadedNetwork(Network):
    """An image encoder followed by such a head; reads pixels, or the encoder's embeddings.

    Args:
        encoder: is shared, not copied.
        head: over its features.
    """

    head: FeatureHead

    def __init__(self, encoder: ImageEncoder | EmbeddingInput, head: FeatureHead) -> None:
        spec = NetworkSpec(NAME, len(head.weights), encoder.size, encoder.config, head=head.shapes)
        super().__init__(encoder, encoder.feature_dim, spec, pretrained=True)
        self.head = head

    @classmethod
    def build(cls, spec: NetworkSpec) -> "HeadedNetwork":
        """The architecture that a description means, with weights that are loaded next.

        Raises:
            InputError: the installed open_clip cannot build it.
        """
        encoder = EmbeddingInput(spec.size) if spec.encoder is None else ImageEncoder.build(spec.encoder)
        return cls(encoder, FeatureHead.blank(spec.head or {}))


__all__ = ["NAME", "FeatureHead", "HeadedNetwork", "adapted"]
