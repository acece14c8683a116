"""State that learners keep between steps, as small modules of buffers, so that it moves, saves and resumes."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import get_ema_multi_avg_fn

from zerolabel.blocks.gathering import of_all


class KeyQueue(nn.Module):
    """The last K keys with their pseudo-labels, first in first out (MoCo, arXiv 1911.05722).

    Attributes:
        keys: unit vectors; rows that were never written are zero.
        labels: pseudo-label of each key, -1 where the row was never written.
        clean: whether the key's image was in the partial split.
    """

    keys: Float[Tensor, "K D"]
    labels: Int[Tensor, " K"]
    clean: Bool[Tensor, " K"]
    place: Int[Tensor, ""]

    def __init__(self, size: int, dimension: int) -> None:
        super().__init__()
        self.register_buffer("keys", torch.zeros(size, dimension))
        self.register_buffer("labels", torch.full((size,), -1))
        self.register_buffer("clean", torch.zeros(size, dtype=torch.bool))
        self.register_buffer("place", torch.tensor(0))

    @torch.no_grad()
    def push(self, keys: Float[Tensor, "B D"], labels: Int[Tensor, " B"], clean: Bool[Tensor, " B"]) -> None:
        """Overwrite the oldest rows; of a batch larger than the queue the last rows stay.

        Where several processes train together, the queues of all of them take the keys of all.
        """
        keys, labels, clean = of_all(keys), of_all(labels), of_all(clean)
        size = len(self.keys)
        count = min(len(keys), size)
        rows = (self.place + torch.arange(count, device=self.place.device)) % size
        self.keys[rows] = keys[len(keys) - count :].to(self.keys.dtype)
        self.labels[rows] = labels[len(labels) - count :]
        self.clean[rows] = clean[len(clean) - count :]
        self.place.copy_((self.place + count) % size)


class Prototypes(nn.Module):
    """One unit vector per class, moving toward its images' embeddings; zero until the first.

    Attributes:
        vectors: the prototypes ``o``.
    """

    vectors: Float[Tensor, "C D"]

    def __init__(self, n_classes: int, dimension: int, momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("vectors", torch.zeros(n_classes, dimension))

    def similarity(self, z: Float[Tensor, "*B D"]) -> Float[Tensor, "*B C"]:
        """``z o_c``: cosine of every embedding and prototype as they are now, in single precision."""
        return (z @ self.vectors.T.clone()).float()

    @torch.no_grad()
    def update(self, z: Float[Tensor, "B D"], labels: Int[Tensor, " B"], human: Bool[Tensor, " B"]) -> None:
        """``o_c <- l2(m o_c + (1 - m) z)`` for the images of a batch in their order, in closed form.

        The k-th of a class's n images has weight ``(1 - m) m^(n - k)``; the vector is normalized once a batch,
        as in the code of PiCO and Co-Reg. A class whose prototype is still zero is seeded by the images that
        humans labeled, where the batch has any of it. Where several processes train together, the batch is that of all.
        """
        z, labels, human = of_all(z), of_all(labels), of_all(human)
        n_classes, m = len(self.vectors), self.momentum
        member = F.one_hot(labels, n_classes).to(z.dtype)
        seeded = self.vectors.any(1) | ~(member.bool() & human[:, None]).any(0)
        member = member * (seeded[labels] | human)[:, None]
        count = member.sum(0)
        weight = (1 - m) * m ** (count - member.cumsum(0)) * member
        moved = (m**count)[:, None] * self.vectors + weight.T @ z.to(self.vectors.dtype)
        self.vectors.copy_(torch.where((count > 0)[:, None], F.normalize(moved, dim=1), self.vectors))


class LossHistory(nn.Module):
    """Running mean over the last few epochs of one value per image.

    Attributes:
        values: the last L values of each image, newest first.
        filled: how many of them were written.
    """

    values: Float[Tensor, "N L"]
    filled: Int[Tensor, ""]

    def __init__(self, n_images: int, length: int) -> None:
        super().__init__()
        self.register_buffer("values", torch.zeros(n_images, length))
        self.register_buffer("filled", torch.tensor(0))

    def push(self, value: Float[Tensor, " N"]) -> Float[Tensor, " N"]:
        """Add an epoch's values and return the mean of those that are remembered."""
        self.values.copy_(torch.cat([value[:, None], self.values[:, :-1]], 1))
        self.filled.add_(1).clamp_(max=self.values.shape[1])
        return self.values.sum(1) / self.filled


class Momentum(nn.Module):
    """A copy of a module that follows it slowly: ``copy <- m copy + (1 - m) live``."""

    def __init__(self, copy: nn.Module, momentum: float) -> None:
        super().__init__()
        self.copy = copy.requires_grad_(False)
        self.momentum = momentum

    def forward(self, *inputs: Tensor) -> Tensor:
        """Output of the momentum copy."""
        answer: Tensor = self.copy(*inputs)
        return answer

    @torch.no_grad()
    def reset(self, live: nn.Module) -> None:
        """Make the copy equal to the live module, buffers included."""
        self.copy.load_state_dict(live.state_dict())

    @torch.no_grad()
    def follow(self, live: nn.Module) -> None:
        """One step of the running average over the parameters."""
        pairs = self.pairs(live)
        if pairs:
            average = get_ema_multi_avg_fn(self.momentum)
            average([kept for kept, _ in pairs], [new for _, new in pairs], None)

    def pairs(self, live: nn.Module) -> list[tuple[nn.Parameter, nn.Parameter]]:
        """Parameters of the copy and of the live module, but for those that both share, such as a frozen encoder's.

        Writing to a shared one between a forward and a backward pass would be an error of autograd.
        """
        both = zip(self.copy.parameters(), live.parameters(), strict=True)
        return [(kept, new) for kept, new in both if kept is not new]


class RisingMomentum(Momentum):
    """A copy whose momentum rises: ``m exp(-5 (1 - min((s + 1) / ramp, 1))^2)`` at its step s, from 0 (ELR+).

    Attributes:
        step: s, how often the copy has followed.
    """

    step: Int[Tensor, ""]

    def __init__(self, copy: nn.Module, momentum: float, ramp: int) -> None:
        super().__init__(copy, momentum)
        self.ramp = ramp
        self.register_buffer("step", torch.tensor(0))

    @torch.no_grad()
    def follow(self, live: nn.Module) -> None:
        """One step of the running average over the parameters."""
        done = ((self.step + 1) / self.ramp).clamp_max(1) if self.ramp else torch.ones_like(self.step)
        moved = 1 - self.momentum * torch.exp(-5 * (1 - done.double()) ** 2)
        for kept, new in self.pairs(live):
            kept.lerp_(new.to(kept.dtype), moved.to(kept.dtype))
        self.step.add_(1)
