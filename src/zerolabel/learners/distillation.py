"""Knowledge distillation. Hinton, Vinyals, Dean. Distilling the Knowledge in a Neural Network. 2015
(arXiv 1503.02531), on the annotators' mean scores ("KD" in the tables of arXiv 2406.18550).

    L = CE(mean_a p_a(x), p(x_s))
"""

from collections.abc import Iterable

from jaxtyping import Float
from torch import Tensor

from zerolabel.annotations import Annotations
from zerolabel.blocks import losses, targets
from zerolabel.learners.base import Batch, Epoch, Learner, Losses, Pass, View
from zerolabel.networks import Network
from zerolabel.options import Temperature


class Distillation(Learner):
    """Imitate soft targets.

    The second step of the path through frozen features is this learner too, its scores being the cleaned labels.

    Args:
        temperature: T of ``norm(score^(1/T))``; the paper softens with T > 1, mean scores are soft already.
        view: that is learned from.
    """

    target: Float[Tensor, "N C"]

    def __init__(
        self, network: Network, annotations: Annotations, *, temperature: Temperature = 1.0, view: View = "strong"
    ) -> None:
        super().__init__(network, annotations)
        self.views = (view,)
        soft = targets.sharpen(self.scores, temperature)
        hard = targets.one_hot(self.labels, len(annotations.classes))
        self.register_buffer("target", hard.where((self.labels >= 0)[:, None], soft))

    def passes(self, epoch: Epoch) -> Iterable[Pass]:
        """One pass over the images that have a target."""
        yield Pass(self.training_step, (self.target.any(1).nonzero().squeeze(1),))

    def training_step(self, batch: Batch) -> Losses:
        """Cross-entropy with the soft label."""
        return {"distillation": losses.cross_entropy(self.network(batch.views[0]), self.target[batch.index])}
