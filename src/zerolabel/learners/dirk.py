"""DIRK and DIRK-REF. Wu, Wang, Zhang. Distilling Reliable Knowledge for Instance-Dependent Partial Label Learning.
AAAI 2024.

    L = CE(t, p(x)) + contrast_weight * L_ref
    t = a norm(p' * Y) + (1 - a) norm(p' * (1 - Y)),  p' of a teacher, the running average of the network
    a: the share that keeps every candidate at least as probable as any other class, see `labels.rectify`
    L_ref = - sum_b w_ab log( exp(z_a . z_b / tau) / sum_k exp(z_a . z_k / tau) )
    w_a = softmax(cos(t_a, t_b) / 0.4) over the images b with the same argmax t and a candidate in common

Teacher and student see the same weak view for the first term; the query of L_ref is a strong view, its keys are the
teacher's embeddings of another weak view, the queries of the batch, and a queue. In the first `delay` epochs the
only positive is an image's own key and the queue its negatives (MoCo).

`contrast_weight` 0 is DIRK, 1 is DIRK-REF. Decided here: an image labeled by a human has a one-hot target; a set of
all classes is given the teacher's prediction; the queue remembers images, and the latest target of each counts. The
teacher's batch normalization uses the statistics of the batch, as the benchmark PLENCH does. An image without
candidates is left out.
"""

from collections.abc import Iterable
from copy import deepcopy
from functools import partial
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from zerolabel.annotations import Annotations
from zerolabel.blocks import losses, targets
from zerolabel.blocks.memory import KeyQueue, Momentum
from zerolabel.learners.base import Batch, Epoch, Learner, Losses, Pass
from zerolabel.networks import Embedder, Network, projector
from zerolabel.options import Count, Epochs, Share, Temperature, Weight


class DIRK(Learner):
    """A slow teacher gives targets in which no class outside the set exceeds a candidate.

    Args:
        ema_momentum: of the teacher.
        contrast_weight: of the contrastive term; 0 is DIRK, 1 is DIRK-REF.
        delay: epochs in which the contrast knows no labels.
        temperature: tau.
        likeness_temperature: of the likeness of targets.
        embedding: dimension of z.
        queue: entries of the contrastive queue.
    """

    target: Float[Tensor, "N C"]

    def __init__(
        self,
        network: Network,
        annotations: Annotations,
        *,
        ema_momentum: Share = 0.99,
        contrast_weight: Weight = 0.0,
        delay: Epochs = 1,
        temperature: Temperature = 0.07,
        likeness_temperature: Temperature = 0.4,
        embedding: Count = 128,
        queue: Count = 8192,
    ) -> None:
        super().__init__(network, annotations)
        self.contrast_weight, self.delay = contrast_weight, delay
        self.temperature, self.likeness_temperature = temperature, likeness_temperature
        self.projector = projector(network.feature_dim, embedding)
        self.teacher = Momentum(deepcopy(Embedder(network, self.projector)), ema_momentum)
        self.queue = KeyQueue(queue, embedding)
        self.register_buffer("target", targets.uniform_over(annotations.candidates))

    @property
    def student(self) -> Embedder:
        """Network and projector, as the teacher has them."""
        return Embedder(self.network, self.projector)

    def passes(self, epoch: Epoch) -> Iterable[Pass]:
        """One pass over the images that have candidates."""
        if epoch.number == 0:
            self.teacher.reset(self.student)
        if self.contrast_weight:
            step = partial(self.contrast_step, epoch.number >= self.delay)
            yield Pass(step, (self.labeled,), views=("weak", "weak", "strong"))
        else:
            yield Pass(self.training_step, (self.labeled,))

    def training_step(self, batch: Batch) -> Losses:
        """Cross-entropy with the target of the teacher, which then follows the network."""
        (x, *_), index = batch.views, batch.index
        with torch.no_grad():
            p = cast(Embedder, self.teacher.copy).network(x).float().softmax(1)
            t = targets.rectify(p, self.candidates[index])
            human = self.labels[index]
            self.target[index] = t = targets.one_hot(human, t.shape[1]).where((human >= 0)[:, None], t)
        loss = losses.cross_entropy(self.network(x), t)
        self.teacher.follow(self.student)
        return {"distillation": loss}

    def contrast_step(self, with_labels: bool, batch: Batch) -> Losses:
        """The training step with the contrastive term on a strong view."""
        _, weak, strong = batch.views
        with torch.no_grad():
            keys = self.teacher(weak)
        terms = self.training_step(batch)
        queries = self.student(strong)
        weight, ignored = self.positives(batch.index) if with_labels else self.own_keys(len(keys))
        similarity = queries @ torch.cat([queries, keys, self.queue.keys]).T / self.temperature
        terms["contrast"] = self.contrast_weight * losses.weighted_contrastive(similarity, weight, ignored)
        self.queue.push(keys, batch.index, torch.ones_like(batch.index, dtype=torch.bool))
        return terms

    def positives(self, index: Tensor) -> tuple[Float[Tensor, "B M"], Tensor]:
        """Weights of the positives by the likeness of targets, and what is left out: the query, empty places."""
        others = torch.cat([index, index, self.queue.labels])
        same = torch.arange(len(index), device=index.device)[:, None] == torch.arange(len(others), device=index.device)
        ignored = same | (others < 0)
        t, t_others = self.target[index], self.target[others.clamp_min(0)]
        agree = t.argmax(1)[:, None] == t_others.argmax(1)
        share = self.candidates[index].float() @ self.candidates[others.clamp_min(0)].float().T > 0
        likeness = F.normalize(t, dim=1) @ F.normalize(t_others, dim=1).T
        likeness = (likeness / self.likeness_temperature).masked_fill(ignored | ~agree | ~share, -torch.inf)
        return likeness.softmax(1), ignored

    def own_keys(self, n: int) -> tuple[Float[Tensor, "B M"], Tensor]:
        """Each query's own key is its positive; other queries and keys, and empty places, are left out."""
        filled = self.queue.labels >= 0
        own = torch.eye(n, dtype=torch.bool, device=filled.device)
        ignored = torch.cat([torch.ones_like(own), ~own, (~filled).expand(n, -1)], 1)
        weight = torch.cat([torch.zeros_like(own), own, torch.zeros_like(filled).expand(n, -1)], 1)
        return weight.float(), ignored
