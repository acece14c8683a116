"""Input layer of a classifier that reads embeddings, in the place of an image encoder."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


class EmbeddingInput(nn.Module):
    """Embeddings at length 1.

    Args:
        dimensions: D.

    Attributes:
        config: none, as a network's description says that it reads embeddings.
        feature_dim: D.
        size: D, the size of the input.
    """

    config: None = None

    def __init__(self, dimensions: int) -> None:
        super().__init__()
        self.feature_dim = self.size = dimensions

    def forward(self, x: Float[Tensor, "B D"]) -> Float[Tensor, "B D"]:
        """The rows at length 1."""
        return functional.normalize(x, dim=1)


__all__ = ["EmbeddingInput"]
