"""SCE. Wang, Ma, Chen, Luo, Yi, Bailey. Symmetric Cross Entropy for Robust Learning with Noisy Labels.
ICCV 2019 (arXiv 1908.06112).

    L = alpha CE(y, p(x)) + beta RCE(y, p(x)),   CE = - log max(p_y, B),   RCE = - sum_j p_j log max(y_j, A)

The logarithm of a zero in the label is cut off at A. Ours: a human label has the plain cross-entropy, of weight 1; an
image without a vote is left out.

Against the authors' code (YisenWang/symmetric_cross_entropy_for_noisy_labels @ 235d93b): exact with
``least_prediction=1e-7``, loss and mean; hand-computed cases (test_sce). The default is the paper's formula, B = 0:
below B the cross-entropy is constant, so that a class which the network has once lost does not come back.
"""

from collections.abc import Iterable
from typing import Annotated

from jaxtyping import Float
from torch import Tensor

from zerolabel.annotations import Annotations
from zerolabel.blocks import losses, targets
from zerolabel.learners.base import Batch, Epoch, Learner, Losses, Pass, View
from zerolabel.networks import Network
from zerolabel.options import Range, Weight


class SCE(Learner):
    """Cross-entropy, and cross-entropy with prediction and label exchanged.

    Args:
        alpha: weight of the cross-entropy; the code's is 0.01 for MNIST, 0.1 for CIFAR-10, 6 for CIFAR-100.
        beta: weight of the reverse cross-entropy; the code's is 1, and 0.1 for CIFAR-100.
        least: A, what a zero in the label counts as; the code's 1e-4.
        least_prediction: B, what the prediction counts as at least in the cross-entropy; the code's 1e-7.
        view: that is learned from; the paper's is "weak", the default is that of the cross-entropy baseline.
    """

    target: Float[Tensor, "N C"]

    def __init__(
        self,
        network: Network,
        annotations: Annotations,
        *,
        alpha: Weight = 0.1,
        beta: Weight = 1.0,
        least: Annotated[float, Range(0, 0.99, above=True)] = 1e-4,
        least_prediction: Annotated[float, Range(0, 0.99)] = 0.0,
        view: View = "strong",
    ) -> None:
        super().__init__(network, annotations)
        self.alpha, self.beta, self.views = alpha, beta, (view,)
        self.least, self.least_prediction = least, least_prediction
        chosen = targets.initial_labels(self.scores, self.candidates, self.labels)
        self.register_buffer("target", targets.one_hot(chosen, len(annotations.classes)))

    def passes(self, epoch: Epoch) -> Iterable[Pass]:
        """One pass over the labeled images."""
        yield Pass(self.training_step, (self.labeled,))

    def training_step(self, batch: Batch) -> Losses:
        """Both terms with the annotators' label, cross-entropy with a person's."""
        logits, target = self.network(batch.views[0]), self.target[batch.index]
        human = self.labels[batch.index] >= 0
        share = (~human).float().mean()
        own, goal = logits[~human], target[~human]
        log_p = (goal * losses.log_probabilities(own)).sum(1)
        bound = log_p.new_tensor(self.least_prediction).log()
        return {
            "supervised": self.alpha * share * losses.mean(-log_p.maximum(bound)),
            "reverse": self.beta * share * losses.reverse_cross_entropy(own, goal, self.least),
            "human": (1 - share) * losses.cross_entropy(logits[human], target[human]),
        }
