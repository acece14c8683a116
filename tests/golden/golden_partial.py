"""What the golden tests of partial-label learners share: the files' small networks, and networks that only answer."""

from collections.abc import Iterator

import torch
from golden_case import Case
from torch import Tensor, nn

from zerolabel.blocks.contrastive import Contrast
from zerolabel.learners.base import Batch
from zerolabel.networks import Network, NetworkSpec


class Always(nn.Module):
    """Answers the same values whatever it is shown."""

    def __init__(self, values: Tensor) -> None:
        super().__init__()
        self.values = values

    def forward(self, x: Tensor) -> Tensor:
        return self.values


def mirror(n_classes: int) -> Network:
    """A network whose logits are its images."""
    made = Network(nn.Identity(), n_classes, NetworkSpec("linear", n_classes, n_classes), pretrained=True)
    with torch.no_grad():
        made.head.weight.copy_(torch.eye(n_classes))
        made.head.bias.zero_()
    return made


def network_of(case: Case, prefix: str) -> Network:
    """A hidden layer, ReLU and a head, with the weights under a prefix."""
    weight, head = case[f"{prefix}.enc.weight"], case[f"{prefix}.head.weight"]
    backbone = nn.Sequential(nn.Linear(weight.shape[1], len(weight)), nn.ReLU())
    made = Network(backbone, len(weight), NetworkSpec("linear", len(head), weight.shape[1]), pretrained=True)
    fill(weights_of(made, case, prefix))
    return made


def weights_of(network: Network, case: Case, prefix: str) -> Iterator[tuple[Tensor, Tensor]]:
    """Weights of a network of that kind beside those of the file."""
    for name, layer in (("enc", network.backbone[0]), ("head", network.head)):  # type: ignore[index]
        for kind in ("weight", "bias"):
            yield getattr(layer, kind), case[f"{prefix}.{name}.{kind}"]


def projections_of(projector: nn.Sequential, case: Case, prefix: str) -> Iterator[tuple[Tensor, Tensor]]:
    """Weights of a projector beside those of the file."""
    for name, layer in (("proj1", projector[0]), ("proj2", projector[2])):
        for kind in ("weight", "bias"):
            yield getattr(layer, kind), case[f"{prefix}.{name}.{kind}"]


@torch.no_grad()
def fill(pairs: Iterator[tuple[Tensor, Tensor]]) -> None:
    """Give our weights the file's values."""
    for mine, theirs in pairs:
        mine.copy_(theirs)


@torch.no_grad()
def start_contrast(contrast: Contrast, network: Network, case: Case) -> None:
    """Projector, key network and a full queue as the file has them at the start."""
    fill(projections_of(contrast.projector, case, "start"))  # type: ignore[arg-type]
    contrast.start(network)
    contrast.queue.keys.copy_(case["start.queue"])
    contrast.queue.labels.copy_(case["start.queue_labels"])
    contrast.queue.clean[:] = True


def batch_of(case: Case, step: int) -> Batch:
    """The weak and the strong views of a step."""
    return Batch(case.index[step], (case.weak[step], case.strong[step]))


def whole(*logits: Tensor) -> Batch:
    """All images of a case at once, whose views are logits."""
    return Batch(torch.arange(len(logits[0])), logits)


def close(found: Tensor | float, expected: Tensor | float, tolerance: float = 1e-5) -> None:
    """At most that far from it, and of the same shape."""
    found = torch.as_tensor(found).detach()
    torch.testing.assert_close(found, torch.as_tensor(expected, dtype=found.dtype), atol=tolerance, rtol=0)


def gradient_of(loss: Tensor, logits: Tensor) -> Tensor:
    """Of a loss, for the logits."""
    (found,) = torch.autograd.grad(loss, logits, retain_graph=True)
    return found
