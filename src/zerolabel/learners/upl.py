"""UPL. Huang, Chu, Wei. Unsupervised Prompt Learning for Vision-Language Models. arXiv 2204.03649.

    L = CE(c, p(x_w)) on the K most probable images of those that the annotators predict as class c

The paper averages pseudo-labels over several CLIP models, which several annotating models do here, and predictions
over 16 seeds, which one run does not. A human label overrules the annotators and is always among the images.

Against the authors' code (tonyhuang2022/UPL @ 8a8bf9c): exact in the choice and the loss (test_upl); it adds up the
logits of its prompts.
"""

from collections.abc import Iterable

import torch
from jaxtyping import Int
from torch import Tensor

from zerolabel.annotations import Annotations
from zerolabel.blocks import losses, pseudo_labels, targets
from zerolabel.learners.base import Batch, Epoch, Learner, Losses, Pass
from zerolabel.networks import Network
from zerolabel.options import Count


class UPL(Learner):
    """Believe the annotators on the images of each predicted class that they are most confident in.

    Args:
        k: images of each predicted class.
    """

    views = ("weak",)
    chosen: Int[Tensor, " N"]

    def __init__(self, network: Network, annotations: Annotations, *, k: Count = 16) -> None:
        super().__init__(network, annotations)
        counts = torch.full((len(annotations.classes),), k)
        voted = self.scores.any(1) & (self.labels < 0)
        best = torch.full_like(self.labels, -1)
        best[voted] = pseudo_labels.top_of_predicted(self.scores[voted], counts)
        self.register_buffer("chosen", self.labels.where(self.labels >= 0, best))

    def passes(self, epoch: Epoch) -> Iterable[Pass]:
        """One pass over the chosen images."""
        yield Pass(self.training_step, ((self.chosen >= 0).nonzero().squeeze(1),))

    def training_step(self, batch: Batch) -> Losses:
        """Cross-entropy with the pseudo-label."""
        logits = self.network(batch.views[0])
        return {"pseudo": losses.cross_entropy(logits, targets.one_hot(self.chosen[batch.index], logits.shape[1]))}
