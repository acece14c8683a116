"""Parts of contrastive learners: projector, momentum copy and queue (MoCo, arXiv 1911.05722)."""

from copy import deepcopy

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from zerolabel.blocks import losses
from zerolabel.blocks.memory import KeyQueue, Momentum
from zerolabel.networks import Embedder, Network, projector

Pairs = tuple[Bool[Tensor, "B M"], Bool[Tensor, "B M"]]


class Contrast(nn.Module):
    """The contrast set of a batch of B queries: the queries, their keys, and the queue.

    Attributes:
        projector: features -> embedding.
        momentum: the slow copy that makes the keys.
        queue: keys of former batches.
    """

    def __init__(self, network: Network, *, embedding: int, queue: int, momentum: float) -> None:
        super().__init__()
        self.projector = projector(network.feature_dim, embedding)
        self.momentum = Momentum(deepcopy(Embedder(network, self.projector)), momentum)
        self.queue = KeyQueue(queue, embedding)

    def start(self, network: Network) -> None:
        """Make the slow copy equal to the network."""
        self.momentum.reset(Embedder(network, self.projector))

    @torch.no_grad()
    def keys(self, network: Network, x: Tensor) -> Float[Tensor, "B D"]:
        """Embeddings by the slow copy, after it took a step toward the network."""
        self.momentum.follow(Embedder(network, self.projector))
        answer: Tensor = self.momentum(x)
        return answer

    def embed(self, features: Float[Tensor, "B F"]) -> Float[Tensor, "B D"]:
        """Unit embeddings of features."""
        return F.normalize(self.projector(features).float(), dim=1)

    @torch.no_grad()
    def look(self, network: Network, x: Tensor) -> Float[Tensor, "B D"]:
        """Embeddings of views that are not learned from: running statistics of the network stay as they are."""
        embedder = Embedder(network, self.projector)
        copies = {name: value.clone() for name, value in embedder.named_buffers()}
        answer: Tensor = functional_call(embedder, copies, x)
        return answer

    def similarity(self, queries: Float[Tensor, "B D"], keys: Float[Tensor, "B D"]) -> Float[Tensor, "B M"]:
        """Cosine of the queries and all entries of the contrast set; only the queries have a gradient."""
        return torch.cat([queries @ queries.T, queries @ torch.cat([keys, self.queue.keys]).T], 1)

    def own_key(self, n: int) -> Pairs:
        """Positive and ignored pairs of MoCo: the own key, and every other entry of the batch or empty place."""
        empty = self.queue.labels < 0
        own = torch.eye(n, dtype=torch.bool, device=empty.device)
        none = torch.zeros_like(own)
        positive = torch.cat([none, own, none.new_zeros(n, len(empty))], 1)
        return positive, torch.cat([~none, ~own, empty.expand(n, -1)], 1)

    def same_label(self, label: Int[Tensor, " B"]) -> Pairs:
        """Positive are entries of the same pseudo-label; ignored are the query itself and empty places."""
        others = torch.cat([label, label, self.queue.labels])
        itself = torch.arange(len(label), device=label.device)[:, None] == torch.arange(
            len(others), device=label.device
        )
        return (label[:, None] == others) & ~itself, itself | (others < 0)

    def trusted_label(self, label: Int[Tensor, " B"], clean: Bool[Tensor, " B"]) -> Pairs:
        """Pairs of Co-Reg's noisy contrastive loss, see `losses.pairs`; the own key is positive in any case."""
        n, queue = len(label), self.queue
        pairs = losses.pairs(
            label, clean, torch.cat([label, label, queue.labels]), torch.cat([clean, clean, queue.clean])
        )
        own, _ = self.own_key(n)
        itself = own.roll(-n, 1)
        return (pairs[0] & ~itself) | own, (pairs[1] & ~own) | itself | self.same_label(label)[1]


__all__ = ["Contrast"]
