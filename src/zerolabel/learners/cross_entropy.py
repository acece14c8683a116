"""Cross-entropy on zero-shot labels: the plain baseline.

L = CE(argmax_j score_j(x), p(x_s))
"""

from collections.abc import Iterable

from jaxtyping import Float
from torch import Tensor

from zerolabel.annotations import Annotations
from zerolabel.blocks import losses, targets
from zerolabel.learners.base import Batch, Epoch, Learner, Losses, Pass, View
from zerolabel.networks import Network


class CrossEntropy(Learner):
    """Believe the annotators' best class; a human label overrules it, an image without a vote is left out.

    Args:
        view: that is learned from.
    """

    target: Float[Tensor, "N C"]

    def __init__(self, network: Network, annotations: Annotations, *, view: View = "strong") -> None:
        super().__init__(network, annotations)
        self.views = (view,)
        best = self.scores.argmax(1).where(self.candidates.any(1), -1)
        chosen = self.labels.where(self.labels >= 0, best)
        self.register_buffer("target", targets.one_hot(chosen, len(annotations.classes)))

    def passes(self, epoch: Epoch) -> Iterable[Pass]:
        """One pass over the labeled images."""
        yield Pass(self.training_step, (self.labeled,))

    def training_step(self, batch: Batch) -> Losses:
        """Cross-entropy with the hard label."""
        return {"supervised": losses.cross_entropy(self.network(batch.views[0]), self.target[batch.index])}
