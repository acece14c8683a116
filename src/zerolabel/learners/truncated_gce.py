"""Truncated GCE. Zhang, Sabuncu. Generalized Cross Entropy Loss for Training Deep Neural Networks with Noisy
Labels. NeurIPS 2018 (arXiv 1805.07836), its truncated loss.

    L = (1 - p_y(x)^q) / q       where p_y(x) > k
    L = (1 - k^q) / q, constant  elsewhere

Which images lie above k is not asked at every step: from time to time all images are predicted in eval mode, and the
answer holds until the next time. The mean is over the batch, so that the step shrinks with what is truncated.
Ours: an image labeled by a human is never truncated and has the plain cross-entropy; a class of which no image lies
above k keeps its images, for it could not come back.

Against the authors' code: none is known to be public. By AlanChou/Truncated-Loss @ 93a2464, which calls itself
unofficial and states the paper's values: exact in loss, gradient and the images above k (test_truncated_gce).
Documented differences: it predicts with the network of the best test accuracy so far, ours with the current one; and
its first truncation comes one epoch earlier, before the 40th.
"""

from collections.abc import Iterable
from typing import Annotated

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from zerolabel.annotations import Annotations
from zerolabel.blocks import losses, targets
from zerolabel.learners.base import Batch, Epoch, Learner, Losses, Pass, View
from zerolabel.networks import Network
from zerolabel.options import BelowOne, Epochs, Range, Rounds


class TruncatedGCE(Learner):
    """Generalized cross-entropy on the images whose label the network believes, a constant on the others.

    Args:
        q: 0 is cross-entropy, 1 the absolute error.
        k: probability of the label below which the loss is constant.
        warm_up: epochs on all images before the first truncation.
        interval: epochs between two truncations.
        view: that is learned from; the paper's is "weak", the default is that of the cross-entropy baseline.
    """

    initial_labels: Int[Tensor, " N"]
    kept: Bool[Tensor, " N"]

    def __init__(
        self,
        network: Network,
        annotations: Annotations,
        *,
        q: Annotated[float, Range(0, 1, above=True)] = 0.7,
        k: BelowOne = 0.5,
        warm_up: Epochs = 40,
        interval: Rounds = 10,
        view: View = "strong",
    ) -> None:
        super().__init__(network, annotations)
        self.q, self.k, self.warm_up, self.interval, self.views = q, k, warm_up, interval, (view,)
        self.register_buffer("initial_labels", targets.initial_labels(self.scores, self.candidates, self.labels))
        self.register_buffer("kept", self.initial_labels >= 0)

    def passes(self, epoch: Epoch) -> Iterable[Pass]:
        """One pass over the labeled images; those that are kept are chosen again from time to time."""
        since = epoch.number - self.warm_up
        if since >= 0 and since % self.interval == 0:
            self.kept.copy_(self.believed(epoch.predict(self.network)))
        self.figures = {"kept": float(self.kept.sum())}
        yield Pass(self.training_step, (self.labeled,))

    def believed(self, p: Float[Tensor, "N C"]) -> Bool[Tensor, " N"]:
        """Images whose label has a probability above k, and those of a class that has none, and a person's."""
        labeled, place = self.initial_labels >= 0, self.initial_labels.clamp_min(0)
        above = labeled & (p.gather(1, place[:, None]).squeeze(1) > self.k)
        there = torch.bincount(place[above], minlength=p.shape[1]) > 0
        return labeled & (above | ~there[place] | (self.labels >= 0))

    def training_step(self, batch: Batch) -> Losses:
        """The truncated loss with the annotators' label, cross-entropy with a person's."""
        logits = self.network(batch.views[0])
        target, human = (
            targets.one_hot(self.initial_labels[batch.index], logits.shape[1]),
            self.labels[batch.index] >= 0,
        )
        kept = self.kept[batch.index] & ~human
        above, below = kept.float().mean(), (~kept & ~human).float().mean()
        constant = (1 - self.k**self.q) / self.q
        generalized = losses.generalized_cross_entropy(logits[kept], target[kept], self.q)
        return {
            "supervised": above * generalized + below * constant,
            "human": human.float().mean() * losses.cross_entropy(logits[human], target[human]),
        }
