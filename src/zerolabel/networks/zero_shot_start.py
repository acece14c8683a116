"""A head over frozen features that starts at the zero-shot classifier and learns what to add to it.

    logits  =  a(r)  +  W h(r)  +  b,      W = 0 and b = 0 at the start

r are the features of an image, of length 1, a the log-probabilities of the prompts (`PromptEnsemble`, or one text
feature per class times the logit scale), and h the hidden layer of a "linear" or "mlp" head. A head from random weights
must learn from few images what the model knows already; this one only learns what the images add.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from zerolabel.networks.base import Network, NetworkSpec
from zerolabel.networks.zero_shot import PromptEnsemble


class Beside(nn.Module):
    """The hidden layer's output, and beside it the features themselves, which the head's start reads."""

    def __init__(self, hidden: nn.Module) -> None:
        super().__init__()
        self.hidden = hidden

    def forward(self, features: Float[Tensor, "B D"]) -> Float[Tensor, "B F"]:
        """``(h(r), r)`` in one row."""
        return torch.cat([self.hidden(features), functional.normalize(features, dim=1)], 1)


class AddedHead(nn.Module):
    """``a(r) + W h(r) + b`` of what `Beside` gives.

    Args:
        hidden_dim: size of h.
        texts: text features of A prompts and C classes, times the scale.
    """

    def __init__(self, hidden_dim: int, texts: Float[Tensor, "A C D"]) -> None:
        super().__init__()
        self.start, self.added = PromptEnsemble(texts), nn.Linear(hidden_dim, texts.shape[1])
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Add nothing."""
        nn.init.zeros_(self.added.weight)
        nn.init.zeros_(self.added.bias)

    def forward(self, both: Float[Tensor, "B F"]) -> Float[Tensor, "B C"]:
        """Logits."""
        hidden, features = both.split([self.added.in_features, both.shape[1] - self.added.in_features], 1)
        logits: Tensor = self.start(features) + self.added(hidden)
        return logits


class ZeroShotStart(Network):
    """A "linear" or "mlp" head that starts at the zero-shot classifier.

    Args:
        hidden: features -> h.
        hidden_dim: size of h.
        spec: describes it, with the number of prompts.
        texts: text features of A prompts and C classes, times the scale.
    """

    head: AddedHead

    def __init__(self, hidden: nn.Module, hidden_dim: int, spec: NetworkSpec, texts: Float[Tensor, "A C D"]) -> None:
        super().__init__(Beside(hidden), hidden_dim + texts.shape[2], spec, head_std=None)
        self.head = AddedHead(hidden_dim, texts)

    def reset_head(self) -> None:
        """Restore the zero-shot classifier."""
        self.head.reset_parameters()

    def class_vectors(self) -> Float[Tensor, "C F"]:
        """The added weights, followed by the mean direction of the prompts' texts."""
        start = self.head.start
        texts = start.texts.unflatten(0, (start.n_prompts, -1)).mean(0)
        return torch.cat([self.head.added.weight, texts], 1).detach()


def interpolate(network: nn.Module, share: float) -> None:
    """Go back part of the way to the zero-shot classifier: ``a(r) + share (W h(r) + b)``.

    Wortsman, Ilharco, et al. *Robust fine-tuning of zero-shot models* (WiSE-FT). CVPR 2022, arXiv 2109.01903, equation
    1: weights between those of zero-shot and of fine-tuning err less on images unlike the training's. Here only the
    last layer starts at zero-shot, so its weights alone are interpolated. Other networks stay as they are.

    Args:
        network: is changed in place.
        share: in [0, 1]; the paper's alpha, which it sets to 1/2 where nothing is known.
    """
    if isinstance(network, ZeroShotStart):
        with torch.no_grad():
            network.head.added.weight.mul_(share)
            network.head.added.bias.mul_(share)


def copy_start(source: Network, target: Network) -> None:
    """Give a network the zero-shot classifier that another of the same architecture starts at."""
    if isinstance(source, ZeroShotStart) and isinstance(target, ZeroShotStart):
        target.head.start.load_state_dict(source.head.start.state_dict())


__all__ = ["AddedHead", "Beside", "ZeroShotStart", "copy_start", "interpolate"]
