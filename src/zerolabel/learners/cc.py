"""CC. Feng, Lv, Han, Xu, Niu, Geng, An, Sugiyama. Provably Consistent Partial-Label Learning.
NeurIPS 2020 (arXiv 2007.08929), the classifier-consistent method.

    L = -log sum_{j in S} p_j(x)

There is nothing to decide: no confidence is kept, and the network may put the mass of a set on any of its classes.
"""

from collections.abc import Iterable

from zerolabel.annotations import Annotations
from zerolabel.blocks import losses
from zerolabel.learners.base import Batch, Epoch, Learner, Losses, Pass, View
from zerolabel.networks import Network


class CC(Learner):
    """The candidate set as a whole shall be probable; an image without candidates is left out.

    Args:
        view: that is learned from; the paper's is "weak", the default is that of the cross-entropy baseline.
    """

    def __init__(self, network: Network, annotations: Annotations, *, view: View = "strong") -> None:
        super().__init__(network, annotations)
        self.views = (view,)

    def passes(self, epoch: Epoch) -> Iterable[Pass]:
        """One pass over the images that have candidates."""
        yield Pass(self.training_step, (self.labeled,))

    def training_step(self, batch: Batch) -> Losses:
        """``-log sum_{j in S} p_j``."""
        candidates = self.candidates[batch.index]
        return {"partial": losses.partial_cross_entropy(self.network(batch.views[0]), candidates, full_sets=True)}
