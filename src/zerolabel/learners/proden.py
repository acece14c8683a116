"""PRODEN. Lv, Xu, Feng, Niu, Geng, Sugiyama. Progressive Identification of True Labels for Partial-Label Learning.
ICML 2020 (arXiv 2002.08053).

    L = - sum_j c_j log p_j(x)
    c = norm(Y * p), from the same forward pass, after the loss; uniform over S at first

An image is thus learned with the confidence of its last visit.
"""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from zerolabel.annotations import Annotations
from zerolabel.blocks import losses, targets
from zerolabel.learners.base import Batch, Epoch, Learner, Losses, Pass, View
from zerolabel.networks import Network


class PRODEN(Learner):
    """Identify the label inside the candidate set while learning it; an image without candidates is left out.

    Args:
        view: that is learned from; the paper's is "weak", the default is that of the cross-entropy baseline.
    """

    confidence: Float[Tensor, "N C"]

    def __init__(self, network: Network, annotations: Annotations, *, view: View = "strong") -> None:
        super().__init__(network, annotations)
        self.views = (view,)
        self.register_buffer("confidence", targets.uniform_over(annotations.candidates))

    def passes(self, epoch: Epoch) -> Iterable[Pass]:
        """One pass over the images that have candidates."""
        yield Pass(self.training_step, (self.labeled,))

    def training_step(self, batch: Batch) -> Losses:
        """Cross-entropy with the confidence, which then follows the network."""
        logits = self.network(batch.views[0])
        loss = losses.cross_entropy(logits, self.confidence[batch.index])
        with torch.no_grad():
            p = logits.float().softmax(1)
            self.confidence[batch.index] = targets.restrict(p, self.candidates[batch.index])
        return {"weighted": loss}
