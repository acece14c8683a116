"""SoLar. Wang, Xia, Li, Mao, Feng, Chen, Zhao. SoLar: Sinkhorn Label Refinery for Imbalanced Partial-Label Learning.
NeurIPS 2022 (arXiv 2209.10365).

    P = Sinkhorn((p(x_w) Y)^3 of the batch and a queue), rows sum to 1, the mean of the rows is r;   y = argmax P
    chosen: of each y the ceil(rho r_y B) of least CE(P, p), at least one, of a batch of B; and those with P . p > 0.99
    L = a (CE(P, p(x_w)) + CE(P, p(x_s)) + CE(mix P, p(mix x_w))) on the chosen + (1 - a) CE(norm(p Y), p) on the rest
    r <- (1 - g) r + g (share of images of each class by argmax p Y),  before each epoch; g is 0.1, after warm-up 0.01

The soft row P is the target. rho rises from 0.2 to 0.8 and a to 0.9 over 50 of the code's 1,000 epochs, here over that
share of the training; while a is 0 none is chosen. Each kind of view passes the network by itself.

Against the authors' code (commit 7311c87): rows, selection and losses are exact; norm(p Y) is of the last visit there,
uniform over S at first, which is `rest="visit"` here, and of this very pass, without a gradient, by default. It differs
also in the queue, which counts before it is full here, and holds a number of images instead of batches; and in that
the code restarts once r was estimated, where the weights stay here. A human label is always chosen and is the P
of its image. r starts from the class prior. An image without candidates is left out.
"""

from collections.abc import Iterable
from functools import partial
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from zerolabel.annotations import Annotations
from zerolabel.blocks import losses, mixup, targets
from zerolabel.blocks.memory import KeyQueue
from zerolabel.learners.base import Batch, Epoch, Learner, Losses, Pass
from zerolabel.networks import Network
from zerolabel.options import Concentration, Count, Epochs, Positive, Prior, Share

ABSENT = 1e-5
"""Replacement of a zero probability if a class or an image has only zeros (code)."""


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
        ramp_share: share of the training over which rho and a rise.
        confidence: probability above which an image is chosen in any case.
        mixup: parameter of the Beta distribution; 0 does not mix.
        rest: which prediction is the target where none is chosen: "pass" for that of the step itself, "visit" for that
            of the image's last visit, as in the code.
    """

    views = ("weak", "strong")
    prior: Float[Tensor, " C"]
    seen: Float[Tensor, "N C"]

    def __init__(
        self,
        network: Network,
        annotations: Annotations,
        *,
        warm_up: Epochs = 20,
        fast: Share = 0.1,
        slow: Share = 0.01,
        prior: Prior = "uniform",
        power: Positive = 3.0,
        queue: Count = 16384,
        share: Share = 0.2,
        final_share: Share = 0.8,
        chosen_weight: Share = 0.9,
        ramp_share: Share = 0.05,
        confidence: Share = 0.99,
        mixup: Concentration = 4.0,
        rest: Literal["pass", "visit"] = "pass",
    ) -> None:
        super().__init__(network, annotations)
        self.warm_up, self.fast, self.slow, self.power = warm_up, fast, slow, power
        self.share, self.final_share, self.chosen_weight = share, final_share, chosen_weight
        self.ramp_share, self.confidence, self.mixup, self.rest = ramp_share, confidence, mixup, rest
        self.register_buffer("prior", targets.class_prior(self.scores, prior))
        self.register_buffer("seen", targets.uniform_over(annotations.candidates))
        self.queue = KeyQueue(queue, len(annotations.classes))

    def passes(self, epoch: Epoch) -> Iterable[Pass]:
        """The prior moves; then one pass over the images that have candidates."""
        if epoch.number:
            self.move_prior(epoch.predict(self.network), self.fast if epoch.number <= self.warm_up else self.slow)
        rise = min(epoch.progress / self.ramp_share, 1.0) if self.ramp_share else 1.0
        rho = self.share + (self.final_share - self.share) * rise
        yield Pass(partial(self.training_step, rho, self.chosen_weight * rise), (self.labeled,))

    def move_prior(self, p: Float[Tensor, "N C"], pace: float) -> None:
        """One step toward the shares of the classes that the candidates leave possible."""
        rows = self.labeled
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
            rows = self.pseudo_labels(p, batch.index)
            chosen = self.choose(rows, logits, rho) | (self.labels[batch.index] >= 0)
            chosen &= weight > 0
            inside, target = targets.restrict(p, candidates), rows[chosen]
            rest = inside if self.rest == "pass" else self.seen[batch.index]
            self.seen[batch.index] = inside
        terms = {"rest": (1 - weight) * losses.cross_entropy(logits[~chosen], rest[~chosen])}
        if not bool(chosen.any()):
            return terms
        mix = mixup.draw(len(target), self.mixup, weak.device)
        sharp, mixed = self.network(strong)[chosen], self.network(mix(weak[chosen]))
        return terms | {
            "chosen": weight * losses.cross_entropy(logits[chosen], target),
            "strong": weight * losses.cross_entropy(sharp, target),
            "mixup": weight * losses.cross_entropy(mixed, mix(target)),
        }

    def choose(self, rows: Float[Tensor, "B C"], logits: Float[Tensor, "B C"], rho: float) -> Bool[Tensor, " B"]:
        """The images of each pseudo-label that are learned best, as many as the prior expects, and the sure ones."""
        log_p = losses.log_probabilities(logits)
        counts = (len(rows) * self.prior * rho).ceil().clamp_min(1).long()
        chosen = targets.smallest_per_class(-(rows * log_p).sum(1), rows.argmax(1), counts)
        return chosen | ((rows * log_p.exp()).sum(1) > self.confidence)

    def pseudo_labels(self, p: Float[Tensor, "B C"], index: Int[Tensor, " B"]) -> Float[Tensor, "B C"]:
        """The soft rows of the images once the batch and the queue follow the prior."""
        rows = p * self.candidates[index]
        known = torch.cat([rows, self.queue.keys[self.queue.labels >= 0]])
        balanced = targets.sinkhorn(known.double() ** self.power, self.prior.double(), relaxed=ABSENT**self.power)[
            : len(rows)
        ].to(p.dtype)
        self.queue.push(rows, index, torch.ones_like(index, dtype=torch.bool))
        lost = balanced.sum(1, keepdim=True) <= 0
        return targets.with_human_labels(
            torch.where(lost, targets.restrict(p, self.candidates[index]), balanced), self.labels[index]
        )
