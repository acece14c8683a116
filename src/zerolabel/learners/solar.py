"""SoLar. Wang, Xia, Li, Mao, Feng, Chen, Zhao. SoLar: Sinkhorn Label Refinery for Imbalanced Partial-Label Learning.
NeurIPS 2022 (arXiv 2209.10365).

    P = Sinkhorn((p(x_w) Y)^3 of the batch and a queue), rows sum to 1, the mean of the rows is r;   y = argmax P
    chosen: of each y the rho r_y B with the smallest CE(y, p), at least one, of a batch of B; and where p_y > 0.99
    L = a (CE(y, p(x_w)) + CE(y, p(x_s)) + CE(mix y, p(mix x_w))) on the chosen + (1 - a) CE(norm(p Y), p) on the rest
    r <- (1 - g) r + g (share of images of each class by argmax p Y),  before each epoch; g is 0.1, after warm-up 0.01

rho rises from 0.2 to 0.8 and a to 0.9 over 50 of the code's 1,000 epochs, here over that share of the training; while a
is 0 none is chosen.

Decided here: the queue holds a number of images instead of batches; the code begins anew once r was estimated, here
the weights stay; the restricted prediction norm(p Y) is taken as it is, without a gradient; a person's label
is always chosen and is the y of its image. r starts from the class prior. An image without candidates is left out.
"""

from collections.abc import Iterable
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from zerolabel.annotations import Annotations
from zerolabel.blocks import losses, mixup, targets
from zerolabel.blocks.memory import KeyQueue
from zerolabel.learners.base import Batch, Epoch, Learner, Losses, Pass
from zerolabel.networks import Network


class SoLar(Learner):
    """Pseudo-labels that follow a running class prior, and the sure ones first.

    Args:
        warm_up: epochs in which the prior moves fast.
        fast: g in the warm-up.
        slow: g after it.
        prior: where r starts: "uniform", "estimated", or one weight per class.
        power: of the predictions before Sinkhorn.
        queue: images whose predictions are balanced together with a batch.
        share: rho at first.
        final_share: rho at last.
        chosen_weight: final a.
        ramp: share of the training over which rho and a rise.
        confidence: probability above which an image is chosen in any case.
        mixup: parameter of the Beta distribution; 0 does not mix.
    """

    views = ("weak", "strong")
    prior: Float[Tensor, " C"]

    def __init__(
        self,
        network: Network,
        annotations: Annotations,
        *,
        warm_up: int = 20,
        fast: float = 0.1,
        slow: float = 0.01,
        prior: str | tuple[float, ...] = "uniform",
        power: float = 3.0,
        queue: int = 16384,
        share: float = 0.2,
        final_share: float = 0.8,
        chosen_weight: float = 0.9,
        ramp: float = 0.05,
        confidence: float = 0.99,
        mixup: float = 4.0,
    ) -> None:
        super().__init__(network, annotations)
        self.warm_up, self.fast, self.slow, self.power = warm_up, fast, slow, power
        self.share, self.final_share, self.chosen_weight = share, final_share, chosen_weight
        self.ramp, self.confidence, self.mixup = ramp, confidence, mixup
        self.register_buffer("prior", targets.class_prior(self.scores, prior))
        self.queue = KeyQueue(queue, len(annotations.classes))

    def passes(self, epoch: Epoch) -> Iterable[Pass]:
        """The prior moves; then one pass over the images that have candidates."""
        if epoch.number:
            self.move_prior(epoch.predict(self.network), self.fast if epoch.number <= self.warm_up else self.slow)
        rise = min(epoch.progress / self.ramp, 1.0) if self.ramp else 1.0
        rho = self.share + (self.final_share - self.share) * rise
        yield Pass(partial(self.training_step, rho, self.chosen_weight * rise), (self.labelled,))

    def move_prior(self, p: Float[Tensor, "N C"], pace: float) -> None:
        """One step towards the shares of the classes that the candidates leave possible."""
        rows = self.labelled
        if len(rows):
            best = targets.best_candidate(p[rows], self.candidates[rows])[1]
            found = torch.bincount(best, minlength=p.shape[1]) / len(rows)
            self.prior.mul_(1 - pace).add_(pace * found)

    def training_step(self, rho: float, weight: float, batch: Batch) -> Losses:
        """The losses of the chosen images and of the rest."""
        (weak, strong), candidates = batch.views, self.candidates[batch.index]
        logits = self.network(weak).float()
        with torch.no_grad():
            p = logits.softmax(1)
            y = self.pseudo_labels(p, batch.index)
            known = p.gather(1, y[:, None]).squeeze(1)
            counts = (rho * len(y) * self.prior - 1e-6).ceil().clamp_min(1).long()
            chosen = targets.smallest_per_class(-known, y, counts) | (known > self.confidence)
            chosen = (chosen | (self.labels[batch.index] >= 0)) & (weight > 0)
            inside, target = targets.restrict(p, candidates), targets.one_hot(y, p.shape[1])[chosen]
        mix = mixup.draw(len(target), self.mixup, weak.device)
        images = torch.cat([strong[chosen], mix(weak[chosen])])
        sharp, mixed = self.network(images).chunk(2)
        return {
            "chosen": weight * losses.cross_entropy(logits[chosen], target),
            "strong": weight * losses.cross_entropy(sharp, target),
            "mixup": weight * losses.cross_entropy(mixed, mix(target)),
            "rest": (1 - weight) * losses.cross_entropy(logits[~chosen], inside[~chosen]),
        }

    def pseudo_labels(self, p: Float[Tensor, "B C"], index: Int[Tensor, " B"]) -> Int[Tensor, " B"]:
        """The best class of each image once the batch and the queue follow the prior."""
        rows = p * self.candidates[index]
        known = torch.cat([rows, self.queue.keys[self.queue.labels >= 0]])
        balanced = targets.sinkhorn(known.double() ** self.power, self.prior.double())[: len(rows)]
        balanced = targets.restrict(balanced, self.candidates[index])
        self.queue.push(rows, index, torch.ones_like(index, dtype=torch.bool))
        human = self.labels[index]
        return human.where(human >= 0, balanced.argmax(1))
