"""CAVL. Zhang, Feng, Han, Liu, Niu, Qin, Sugiyama. Exploiting Class Activation Value for Partial-Label Learning.
ICLR 2022.

    L = CE(c, p(x))
    c = onehot(argmax_{j in S} g_j |1 - g_j|), g the logits of the same forward pass, after the loss

The class activation value g |1 - g| is compared inside the set alone: where all values of a set are negative, a
maximum over a masked row would name a class outside it. Before an image's first visit c is uniform over its set.
"""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from zerolabel.annotations import Annotations
from zerolabel.blocks import losses, targets
from zerolabel.learners.base import Batch, Epoch, Learner, Losses, Pass, View
from zerolabel.networks import Network


class CAVL(Learner):
    """Believe the candidate with the largest class activation value; an image without candidates is left out.

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
        """Cross-entropy with the hard label, which is then chosen again."""
        logits = self.network(batch.views[0])
        loss = losses.cross_entropy(logits, self.confidence[batch.index])
        with torch.no_grad():
            g = logits.float()
            self.confidence[batch.index] = targets.strongest(g * (1 - g).abs(), self.candidates[batch.index])
        return {"identified": loss}
