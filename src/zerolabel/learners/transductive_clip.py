"""Transductive CLIP, by equations of ours: no code was published, and the paper's were not available. Huang, Chen,
Yang, Xie, Pu, Zhuang. Transductive CLIP with Class-Conditional Contrastive Learning. ICASSP 2022 (arXiv 2206.06177).

A classifier from scratch on zero-shot labels, by a class-conditional contrastive loss (C3L) and ensemble labels. The
paper's equations were not available; the formulas are this project's reading of its abstract:

    e <- norm(a e + (1 - a) p(x_w)), after every step from the end of the warm-up on; e starts as the mean scores
    L = CE(e, p(x_s)) + contrast_weight(t) * L_c3
    L_c3 = - sum_j t_ij log softmax_j(z_i . z_j / tau),   t_ij prop. to 1[j is the own key of i] + <e_i, e_j>
    j: the keys of the batch and a queue; z_i embeds a strong view, keys are weak views through a momentum copy

Where e is flat this is instance discrimination, where it is one-hot class discrimination. The contrast weight rises
linearly over a share of the training.

Ours besides: until the warm-up is over labels stay as given and classify. An image without scores joins the contrast
alone, as an instance; a human label is a one-hot e for good. The queue remembers images, and the latest e counts.
"""

from collections.abc import Iterable
from functools import partial

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from zerolabel.annotations import Annotations
from zerolabel.blocks import losses, targets
from zerolabel.blocks.contrastive import Contrast
from zerolabel.learners.base import Batch, Epoch, Learner, Losses, Pass
from zerolabel.networks import Network
from zerolabel.options import Count, Share, Temperature, Weight


class TransductiveCLIP(Learner):
    """Running labels, and contrast between classes as far as the labels are confident.

    Args:
        warm_up_share: share of the training in which the labels stay.
        inertia: a.
        contrast_weight: final weight of the contrast.
        ramp_share: share of the training over which it rises.
        temperature: tau.
        embedding: dimension of z.
        queue: entries of the contrastive queue.
        ema_momentum: of the momentum copy.
    """

    views = ("weak", "strong")
    ensemble: Float[Tensor, "N C"]

    def __init__(
        self,
        network: Network,
        annotations: Annotations,
        *,
        warm_up_share: Share = 0.1,
        inertia: Share = 0.9,
        contrast_weight: Weight = 1.0,
        ramp_share: Share = 0.1,
        temperature: Temperature = 0.07,
        embedding: Count = 128,
        queue: Count = 8192,
        ema_momentum: Share = 0.999,
    ) -> None:
        super().__init__(network, annotations)
        self.warm_up_share, self.inertia, self.temperature = warm_up_share, inertia, temperature
        self.contrast_weight, self.ramp_share = contrast_weight, ramp_share
        self.contrast = Contrast(network, embedding=embedding, queue=queue, momentum=ema_momentum)
        given = self.scores * self.candidates.any(1, keepdim=True)
        human = targets.one_hot(self.labels, given.shape[1])
        self.register_buffer("ensemble", human.where(self.labels[:, None] >= 0, targets.normalize(given)))

    def passes(self, epoch: Epoch) -> Iterable[Pass]:
        """One pass over all images."""
        if epoch.number == 0:
            self.contrast.start(self.network)
        weight = self.contrast_weight * (min(epoch.progress / self.ramp_share, 1.0) if self.ramp_share else 1.0)
        yield Pass(partial(self.training_step, weight, epoch.progress >= self.warm_up_share))

    def training_step(self, weight: float, moving: bool, batch: Batch) -> Losses:
        """Cross-entropy and contrast with the ensemble labels, which then follow the network."""
        (weak, strong), index = batch.views, batch.index
        keys = self.contrast.keys(self.network, weak)
        features = self.network.features(strong)
        e, z = self.ensemble[index], self.contrast.embed(features)
        rows = e.any(1)
        target, ignored = self.attraction(index)
        similarity = self.contrast.similarity(z, keys) / self.temperature
        terms = {
            "classification": losses.cross_entropy(self.network.head(features)[rows], e[rows]),
            "contrast": weight * losses.weighted_contrastive(similarity, target, ignored),
        }
        self.contrast.queue.push(keys, index, torch.ones_like(index, dtype=torch.bool))
        if moving:
            self.move(index, weak)
        return terms

    def attraction(self, index: Int[Tensor, " B"]) -> tuple[Float[Tensor, "B M"], Bool[Tensor, "B M"]]:
        """t, and what is left out: the queries and empty places of the queue."""
        own, _ = self.contrast.own_key(len(index))
        others = torch.cat([index, index, self.contrast.queue.labels])
        ignored = (others < 0).repeat(len(index), 1)
        ignored[:, : len(index)] = True
        alike = self.ensemble[index] @ self.ensemble[others.clamp_min(0)].T
        return targets.normalize((own + alike).masked_fill(ignored, 0)), ignored

    @torch.no_grad()
    def move(self, index: Int[Tensor, " B"], weak: Tensor) -> None:
        """Ensemble labels of the batch toward the predictions, but for a person's and for those without any."""
        e = self.ensemble[index]
        moved = targets.normalize(self.inertia * e + (1 - self.inertia) * self.network(weak).float().softmax(1))
        fixed = (self.labels[index] >= 0) | ~e.any(1)
        self.ensemble[index] = e.where(fixed[:, None], moved)
