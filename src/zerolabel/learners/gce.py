"""GCE. Zhang, Sabuncu. Generalized Cross Entropy Loss for Training Deep Neural Networks with Noisy Labels.
NeurIPS 2018 (arXiv 1805.07836).

    L = (1 - p_y(x)^q) / q,   y = argmax_j score_j(x)

An image that the network does not believe weighs p_y^q as much as in cross-entropy. The truncated loss of the
same paper is the learner `truncated_gce`. Ours: an image labeled by a human has the plain cross-entropy (the
limit q -> 0), for its label is not in doubt; an image without a vote is left out.

Against the authors' code: none is known to be public. Exact, loss and its mean over the batch, by the paper's formula
and by AlanChou/Truncated-Loss @ 93a2464, which calls itself unofficial; hand-computed cases (test_gce).
"""

from collections.abc import Iterable
from typing import Annotated

from jaxtyping import Float
from torch import Tensor

from zerolabel.annotations import Annotations
from zerolabel.blocks import losses, targets
from zerolabel.learners.base import Batch, Epoch, Learner, Losses, Pass, View
from zerolabel.networks import Network
from zerolabel.options import Range


class GCE(Learner):
    """Between cross-entropy and absolute error: doubtful labels weigh less.

    Args:
        q: 0 is cross-entropy, 1 the absolute error.
        view: that is learned from; the paper's is "weak", the default is that of the cross-entropy baseline.
    """

    target: Float[Tensor, "N C"]

    def __init__(
        self,
        network: Network,
        annotations: Annotations,
        *,
        q: Annotated[float, Range(0, 1, above=True)] = 0.7,
        view: View = "strong",
    ) -> None:
        super().__init__(network, annotations)
        self.q, self.views = q, (view,)
        chosen = targets.initial_labels(self.scores, self.candidates, self.labels)
        self.register_buffer("target", targets.one_hot(chosen, len(annotations.classes)))

    def passes(self, epoch: Epoch) -> Iterable[Pass]:
        """One pass over the labeled images."""
        yield Pass(self.training_step, (self.labeled,))

    def training_step(self, batch: Batch) -> Losses:
        """The generalized loss with the annotators' label, cross-entropy with a person's."""
        logits, target = self.network(batch.views[0]), self.target[batch.index]
        human = self.labels[batch.index] >= 0
        share = (~human).float().mean()
        return {
            "supervised": share * losses.generalized_cross_entropy(logits[~human], target[~human], self.q),
            "human": (1 - share) * losses.cross_entropy(logits[human], target[human]),
        }
