"""RC. Feng, Lv, Han, Xu, Niu, Geng, An, Sugiyama. Provably Consistent Partial-Label Learning.
NeurIPS 2020 (arXiv 2007.08929), the risk-consistent method.

    L = - sum_j c_j log p_j(x),   c = norm(Y * p): the posterior of each candidate, an importance weight

It has PRODEN's loss; the two differ in when c is estimated. PRODEN takes what the step's own forward pass gives. RC
looks at the batch once more after its step, in train mode. At the first visit c is uniform over the set.

Against the authors' code (its copy in zonszer/DualCoOp @ 35ae1b6): exact, loss, second look and weights (test_rc).
"""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from zerolabel.annotations import Annotations
from zerolabel.blocks import losses, targets
from zerolabel.learners.base import Batch, Epoch, Learner, Losses, Pass, View
from zerolabel.networks import Network


class RC(Learner):
    """Weigh the candidates by the network's posterior, estimated again right after every step.

    Args:
        view: that is learned from; the paper's is "weak", the default is that of the cross-entropy baseline.
    """

    confidence: Float[Tensor, "N C"]

    def __init__(self, network: Network, annotations: Annotations, *, view: View = "strong") -> None:
        super().__init__(network, annotations)
        self.views = (view,)
        self.last: Batch | None = None
        self.register_buffer("confidence", targets.uniform_over(annotations.candidates))

    def passes(self, epoch: Epoch) -> Iterable[Pass]:
        """One pass over the images that have candidates."""
        yield Pass(self.training_step, (self.labeled,))
        self.look_again()

    def training_step(self, batch: Batch) -> Losses:
        """Cross-entropy with the weights; before it, those of the batch before follow the network."""
        self.look_again()
        self.last = batch
        return {"weighted": losses.cross_entropy(self.network(batch.views[0]), self.confidence[batch.index])}

    @torch.no_grad()
    def look_again(self) -> None:
        """New weights for the batch of the last step, now that the step was taken."""
        if self.last is not None:
            p = self.network(self.last.views[0]).float().softmax(1)
            self.confidence[self.last.index] = targets.restrict(p, self.candidates[self.last.index])
        self.last = None
