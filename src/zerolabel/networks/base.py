"""Network: features() and head, with the few plain values that rebuild it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from zerolabel.errors import InputError

NAMES = ("light", "preact_resnet18", "linear", "mlp")


@dataclass(frozen=True)
class NetworkSpec:
    """Enough to build a network's architecture again; its weights are stored apart.

    Attributes:
        name: "light", "preact_resnet18", "linear", "mlp", a model of timm, or "zero_shot".
        n_classes: C.
        size: side of the input in pixels, or number of features for "linear" and "mlp" without an encoder.
        encoder: configuration of the frozen `ImageEncoder` below the head; none where all is learned.
        n_prompts: of a "zero_shot" network, whose head is its prompts, or of a head over features that starts there;
            else none.
        head: shapes of the tensors of a "feature_head" network; else none.
    """

    name: str
    n_classes: int
    size: int
    encoder: dict[str, Any] | None = None
    n_prompts: int | None = None
    head: dict[str, list[int]] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "NetworkSpec":
        """Rebuild from what `to_dict` gave.

        Raises:
            InputError: an entry is missing or unknown.
        """
        try:
            return cls(**data)
        except TypeError as error:
            reason = (str(error).splitlines() or [""])[0].split("__init__() ")[-1].rstrip(".")
            raise InputError(
                f"this description of a network cannot be read ({reason}); it needs another version."
            ) from None


class Network(nn.Module):
    """A backbone and a linear head.

    An empty batch gives empty features and leaves running statistics alone. In training mode a batch of one is
    shown to the backbone twice, so that batch normalization has more than one value even where the last map is 1 x 1.

    Args:
        backbone: input -> features.
        feature_dim: D, number of features.
        spec: describes it.
        pretrained: whether the backbone's weights were learned before.
        head_std: of the head's first weights, which are normal; none leaves PyTorch's default ones.

    Attributes:
        head: features -> logits.
    """

    head: nn.Module

    def __init__(
        self,
        backbone: nn.Module,
        feature_dim: int,
        spec: NetworkSpec,
        *,
        pretrained: bool = False,
        head_std: float | None = 0.01,
    ) -> None:
        super().__init__()
        self.backbone, self.feature_dim, self.spec, self.pretrained = backbone, feature_dim, spec, pretrained
        self.head_std = head_std
        self.head = nn.Linear(feature_dim, spec.n_classes)
        self.reset_head()

    def reset_head(self) -> None:
        """Initialize the head."""
        head = self._linear_head
        if self.head_std is None:
            head.reset_parameters()
            return
        nn.init.normal_(head.weight, std=self.head_std)
        nn.init.zeros_(head.bias)

    def image_parameters(self) -> list[nn.Parameter]:
        """The trainable image encoder, without the head."""
        return [p for p in self.backbone.parameters() if p.requires_grad]

    def class_vectors(self) -> Float[Tensor, "C D"]:
        """Direction of each class in feature space: the rows of the head's weights."""
        return self._linear_head.weight.detach()

    @property
    def _linear_head(self) -> nn.Linear:
        """The head of a network that does not replace it."""
        assert isinstance(self.head, nn.Linear)
        return self.head

    def features(self, x: Float[Tensor, "B ..."]) -> Float[Tensor, "B D"]:
        """Features before the head, also the input of a projector for contrastive learning."""
        if x.shape[0] == 0:  # len() would fix the batch size of an exported graph
            return x.new_zeros(0, self.feature_dim)
        if self.training and x.shape[0] == 1:
            return cast(Tensor, self.backbone(x.repeat_interleave(2, 0)))[:1]
        return cast(Tensor, self.backbone(x))

    def forward(self, x: Float[Tensor, "B ..."]) -> Float[Tensor, "B C"]:
        """Logits."""
        return cast(Tensor, self.head(self.features(x)))


def mean_probabilities(network: nn.Module, views: Sequence[Float[Tensor, "B ..."]]) -> Float[Tensor, "B C"]:
    """Mean of a network's softmax over several views of the same images.

    Each view has a forward pass of its own, so that in training mode no batch statistics mix the views.
    """
    return torch.stack([network(view).float().softmax(1) for view in views]).mean(0)


def count_parameters(module: nn.Module) -> int:
    """Number of weights, trained or frozen, each shared one once."""
    return sum(parameter.numel() for parameter in module.parameters())


HEADS = ("linear", "mlp")


__all__ = ["NAMES", "Network", "NetworkSpec", "count_parameters", "mean_probabilities"]
