"""What the golden tests of noisy-label learners share: the files' small networks, and networks that only answer."""

from collections.abc import Iterator

import torch
from golden_case import Case
from torch import Tensor, nn

from zerolabel.networks import Network, NetworkSpec

TOLERANCE = 1e-5


def network_of(case: Case, prefix: str) -> Network:
    """A hidden layer, batch normalization where the file has it, ReLU and a head, with the weights under a prefix."""
    weight, head = case[f"{prefix}.enc.weight"], case[f"{prefix}.head.weight"]
    norm = [nn.BatchNorm1d(len(weight))] if f"{prefix}.bn.weight" in case else []
    backbone = nn.Sequential(nn.Linear(weight.shape[1], len(weight)), *norm, nn.ReLU())
    made = Network(backbone, len(weight), NetworkSpec("linear", len(head), weight.shape[1]), pretrained=True)
    fill(made, case, prefix)
    return made


def weights_of(network: Network, case: Case, prefix: str) -> Iterator[tuple[Tensor, Tensor]]:
    """Weights of a network of that kind beside those of the file."""
    layers: dict[str, nn.Module] = {"enc": network.backbone[0], "head": network.head}  # type: ignore[index]
    if f"{prefix}.bn.weight" in case:
        layers["bn"] = network.backbone[1]  # type: ignore[index]
    for name, layer in layers.items():
        for kind in ("weight", "bias"):
            yield getattr(layer, kind), case[f"{prefix}.{name}.{kind}"]


@torch.no_grad()
def fill(network: Network, case: Case, prefix: str) -> None:
    """Give a network the weights under a prefix."""
    for mine, theirs in weights_of(network, case, prefix):
        mine.copy_(theirs)


class Answer(nn.Module):
    """Always answers the same values."""

    def __init__(self, values: Tensor) -> None:
        super().__init__()
        self.values = values

    def forward(self, x: Tensor) -> Tensor:
        return self.values


def mirror(n_classes: int, logits: Tensor | None = None) -> Network:
    """A network whose logits are its images, or always the same."""
    backbone = nn.Identity() if logits is None else Answer(logits)
    made = Network(backbone, n_classes, NetworkSpec("linear", n_classes, n_classes), pretrained=True)
    with torch.no_grad():
        made.head.weight.copy_(torch.eye(n_classes))
    return made


def close(found: Tensor, expected: Tensor | float, tolerance: float = TOLERANCE) -> None:
    """At most that far from it, and of the same shape."""
    expected = torch.as_tensor(expected, dtype=found.dtype)
    torch.testing.assert_close(found.detach(), expected, atol=tolerance, rtol=0)
