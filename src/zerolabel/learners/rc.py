"""RC. Feng, Lv, Han, Xu, Niu, Geng, An, Sugiyama. Provably Consistent Partial-Label Learning.
NeurIPS 2020 (arXiv 2007.08929), the risk-consistent method.

    L = - sum_j c_j log p_j(x),   c = norm(Y * p): the posterior of each candidate, an importance weight

It has PRODEN's loss; the two differ in when c is estimated. PRODEN takes what the step's own forward pass gives. RC
evaluates the network again after its step; here that is done for all images at once, between two epochs, with the
network in eval mode and recomputed statistics (ours: one pass over all images an epoch costs less than a second forward
pass in every step). In the first epoch c is uniform over the set.
"""

from collections.abc import Iterable

from jaxtyping import Float
from torch import Tensor

from zerolabel.annotations import Annotations
from zerolabel.blocks import losses, targets
from zerolabel.learners.base import Batch, Epoch, Learner, Losses, Pass, View
from zerolabel.networks import Network


class RC(Learner):
    """Weigh the candidates by the network's posterior, estimated again for all images every epoch.

    Args:
        view: that is learned from; the paper's is "weak", the default is that of the cross-entropy baseline.
    """

    confidence: Float[Tensor, "N C"]

    def __init__(self, network: Network, annotations: Annotations, *, view: View = "strong") -> None:
        super().__init__(network, annotations)
        self.views = (view,)
        self.register_buffer("confidence", targets.uniform_over(annotations.candidates))

    def passes(self, epoch: Epoch) -> Iterable[Pass]:
        """New weights from the second epoch on; then one pass over the images that have candidates."""
        if epoch.number > 0:
            self.confidence.copy_(targets.restrict(epoch.predict(self.network), self.candidates))
        yield Pass(self.training_step, (self.labeled,))

    def training_step(self, batch: Batch) -> Losses:
        """Cross-entropy with the weights."""
        return {"weighted": losses.cross_entropy(self.network(batch.views[0]), self.confidence[batch.index])}
