"""ELR+. Liu, Niles-Weed, Razavian, Fernandez-Granda. Early-Learning Regularization Prevents Memorization of Noisy
Labels. NeurIPS 2020 (arXiv 2007.00151), with two networks.

Two networks, each with a copy whose weights are averaged over the steps; each network's running predictions come
from the copy of the other, on the image itself, while it learns from MixUp of the images, labels and t:

    L   = CE(y, p(mix(x))) + lambda(e) log(1 - <mix(t), p(mix(x))>),   y = mix(labels)
    y   = norm(mix(labels) mix(t))      with 100 classes
    t_a <- beta t_a + (1 - beta) p_copy_b(x),   and t_b by copy a
    copy <- m copy + (1 - m) network,   m = 0.997 exp(-5 (1 - s / 40,000)^2) at step s, then 0.997

Only inside <., .> is p kept between 1e-4 and 1 - 1e-4.

Ours: the networks themselves are deployed, not their copies; the ramp of lambda is a share of the training instead
of a number of steps; a copy starts as its network is at the first step; t of an image labeled by a human is
that label; an image without a vote is left out.

Against the authors' code (shengliu66/ELR @ 934af53): exact; losses, running predictions and the copies' decay (golden
file elr_plus).
"""

from collections.abc import Iterable
from copy import deepcopy
from functools import partial
from math import exp

import torch
from jaxtyping import Float
from torch import Tensor

from zerolabel.annotations import Annotations
from zerolabel.blocks import losses, mixup, targets
from zerolabel.blocks.memory import Momentum, RisingMomentum
from zerolabel.learners.base import Batch, Epoch, Learner, Losses, Pass
from zerolabel.networks import Network, twin
from zerolabel.options import Concentration, Share, Steps, Weight


class ELRPlus(Learner):
    """Two networks keep each other from learning wrong labels by memorizing.

    Args:
        memory: beta, of the running mean; the paper's is 0.7 for symmetric noise on CIFAR-10, else 0.9.
        weight: final lambda; the paper's is 3 for symmetric and 1 for asymmetric noise on CIFAR-10, 7 for CIFAR-100.
        ramp_share: share of the training over which lambda rises as exp(-5 (1 - s)^2); 0 on CIFAR-10.
        mixup: parameter of the Beta distribution; 0 does not mix.
        ema_momentum: of the averaged copies, when it has risen.
        ema_ramp_steps: steps of a network over which it rises; 0 has it at once.
        weigh_labels: whether the mixed label is multiplied by the mixed running prediction; none does so with exactly
            100 classes, as the code does.
    """

    views = ("weak",)
    target: Float[Tensor, "N C"]
    running: Float[Tensor, "2 N C"]

    def __init__(
        self,
        network: Network,
        annotations: Annotations,
        *,
        memory: Share = 0.7,
        weight: Weight = 3.0,
        ramp_share: Share = 0.0,
        mixup: Concentration = 1.0,
        ema_momentum: Share = 0.997,
        ema_ramp_steps: Steps = 40_000,
        weigh_labels: bool | None = None,
    ) -> None:
        super().__init__(network, annotations)
        self.memory, self.weight, self.ramp_share, self.mixup = memory, weight, ramp_share, mixup
        self.weigh_labels = len(annotations.classes) == 100 if weigh_labels is None else weigh_labels
        self.peer = twin(network)
        both = (network, self.peer)
        self.copy, self.peer_copy = (RisingMomentum(deepcopy(one), ema_momentum, ema_ramp_steps) for one in both)
        chosen = targets.initial_labels(self.scores, self.candidates, self.labels)
        self.register_buffer("target", targets.one_hot(chosen, len(annotations.classes)))
        self.register_buffer("running", targets.one_hot(self.labels, len(annotations.classes)).repeat(2, 1, 1))

    @property
    def networks(self) -> tuple[Network, ...]:
        """Both networks."""
        return (self.network, self.peer)

    def passes(self, epoch: Epoch) -> Iterable[Pass]:
        """A pass over the labeled images for each network."""
        copies = (self.copy, self.peer_copy)
        if epoch.number == 0:
            for copy, network in zip(copies, self.networks, strict=True):
                copy.reset(network)
        weight = self.weight * self.rise(epoch.progress)
        for own in (0, 1):
            step = partial(self.training_step, own, self.networks[own], copies[own], copies[1 - own], weight)
            yield Pass(step, (self.labeled,))
            copies[own].follow(self.networks[own])  # what the last step changed

    def rise(self, progress: float) -> float:
        """The share of lambda that counts so far."""
        return exp(-5 * max(0.0, 1 - progress / self.ramp_share) ** 2) if self.ramp_share else 1.0

    def training_step(
        self, own: int, network: Network, copy: Momentum, other: Momentum, weight: float, batch: Batch
    ) -> Losses:
        """Move the running predictions by the other's copy, then both terms on the mixed images."""
        x = batch.views[0]
        with torch.no_grad():
            if batch.progress > 0:
                copy.follow(network)
            running = self.follow(own, batch.index, other(x).float().softmax(1))
        mix = mixup.draw(len(x), self.mixup, x.device)
        logits = network(mix(x)).float()
        target, early = mix(self.target[batch.index]), mix(running)
        return {
            "supervised": losses.cross_entropy(logits, weighed(target, early) if self.weigh_labels else target),
            "early": weight * losses.early_learning(logits, early),
        }

    def follow(self, own: int, index: Tensor, p: Float[Tensor, "B C"]) -> Float[Tensor, "B C"]:
        """One network's running predictions of some images after this visit."""
        running = self.running[own]
        moved = self.memory * running[index] + (1 - self.memory) * p
        running[index] = running[index].where(self.labels[index, None] >= 0, moved)
        return running[index]


def weighed(target: Float[Tensor, "B C"], running: Float[Tensor, "B C"]) -> Float[Tensor, "B C"]:
    """``norm(y t)``; y itself where t leaves none of it."""
    product = target * running
    total = product.sum(1, keepdim=True)
    return torch.where(total > 0, product / total.where(total > 0, 1.0), target)
