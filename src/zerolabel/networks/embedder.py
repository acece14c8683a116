"""Unit embeddings of a network's features, for contrastive learning and prototypes."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from zerolabel.networks.base import Network


def projector(width: int, embedding: int) -> nn.Sequential:
    """Two layers with a ReLU between: features -> embedding."""
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, embedding))


class Embedder(nn.Module):
    """A network's features, projected to the unit sphere: ``z``."""

    def __init__(self, network: Network, projector: nn.Module) -> None:
        super().__init__()
        self.network, self.projector = network, projector

    def forward(self, x: Tensor) -> Float[Tensor, "B D"]:
        """Unit embeddings of a batch of views."""
        return F.normalize(self.projector(self.network.features(x)).float(), dim=1)


__all__ = ["Embedder", "projector"]
