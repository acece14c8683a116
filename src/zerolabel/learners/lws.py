"""LWS. Wen, Cui, Hang, Liu, Wang, Lin. Leveraged Weighted Loss for Partial Label Learning.
ICML 2021 (arXiv 2106.05731), with the sigmoid loss.

    L = sum_{j in S} w_j psi(g_j) + beta sum_{j not in S} w_j psi(-g_j)
    w = norm(p * Y) in S and, apart from that, norm(p * (1 - Y)) outside, from the same forward pass, after the loss
    psi(u) = 1 / (1 + e^u),   g the logits

At first w is 1 / C for every class. Even a set of one also pushes the other classes away, and a set of all
classes is sharpened. The paper's beta is 1 or 2, by data set.

The loss is bounded: a class whose logit has sunk gets almost no gradient and stays lost. The authors take small steps
(learning rate 0.05 at batches of 256, halved every 50 of 500 epochs); with batches of 32 that is 0.006.
"""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from zerolabel.annotations import Annotations
from zerolabel.blocks import losses, targets
from zerolabel.learners.base import Batch, Epoch, Learner, Losses, Pass, View
from zerolabel.networks import Network
from zerolabel.options import Weight


class LWS(Learner):
    """Pull candidates up and push the others down, each by the share that the network gives it.

    An image without candidates is left out.

    Args:
        beta: the leverage: weight of the classes outside the set.
        view: that is learned from; the paper's is "weak", the default is that of the cross-entropy baseline.
    """

    weight: Float[Tensor, "N C"]

    def __init__(
        self, network: Network, annotations: Annotations, *, beta: Weight = 1.0, view: View = "strong"
    ) -> None:
        super().__init__(network, annotations)
        self.views = (view,)
        self.beta = beta
        self.register_buffer("weight", torch.full_like(annotations.scores, 1 / len(annotations.classes)))

    def passes(self, epoch: Epoch) -> Iterable[Pass]:
        """One pass over the images that have candidates."""
        yield Pass(self.training_step, (self.labeled,))

    def training_step(self, batch: Batch) -> Losses:
        """The leveraged loss with the weights, which then follow the network."""
        logits, candidates = self.network(batch.views[0]), self.candidates[batch.index]
        loss = losses.leveraged_sigmoid(logits, candidates, self.weight[batch.index], self.beta)
        with torch.no_grad():
            self.weight[batch.index] = targets.normalized_apart(logits.float().softmax(1), candidates)
        return {"leveraged": loss}
