"""CR-DPLL. Wu, Wang, Zhang. Revisiting Consistency Regularization for Deep Partial Label Learning.
ICML 2022.

    L = - sum_{j not in S} log(1 - p_j(x)) + lambda(t) sum_v KL(q || p(v))
    q_j  prop. to  prod_v p_j(v)^(1/V)  for j in S, 0 outside; from the same forward passes, after the loss

The three views are one weak and two strong ones; the first is the image as it is in the paper. lambda rises over the
first half of the training, the paper's 100 of 200 epochs. An image without candidates is left out: with S empty the
first term would push every class away. A set of all classes has the second term alone.
"""

from collections.abc import Iterable
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from zerolabel.annotations import Annotations
from zerolabel.blocks import losses, targets
from zerolabel.learners.base import Batch, Epoch, Learner, Losses, Pass
from zerolabel.networks import Network
from zerolabel.options import Share, Weight


class CRDPLL(Learner):
    """Views of an image must agree, inside its candidate set.

    Args:
        consistency: lambda, the final weight of the second term.
        ramp_share: share of the training over which lambda rises to it.
    """

    views = ("weak", "strong", "strong")
    confidence: Float[Tensor, "N C"]

    def __init__(
        self, network: Network, annotations: Annotations, *, consistency: Weight = 1.0, ramp_share: Share = 0.5
    ) -> None:
        super().__init__(network, annotations)
        self.consistency, self.ramp_share = consistency, ramp_share
        self.register_buffer("confidence", targets.uniform_over(annotations.candidates))

    def passes(self, epoch: Epoch) -> Iterable[Pass]:
        """One pass over the images that have candidates."""
        weight = self.consistency * (min(epoch.progress / self.ramp_share, 1.0) if self.ramp_share else 1.0)
        yield Pass(partial(self.training_step, weight), (self.labeled,))

    def training_step(self, weight: float, batch: Batch) -> Losses:
        """Both terms with the confidence of the last visit, which then follows the views."""
        candidates, q = self.candidates[batch.index], self.confidence[batch.index]
        logits = self.network(torch.cat(batch.views)).unflatten(0, (len(batch.views), len(batch.index)))
        with torch.no_grad():
            geometric_mean = logits.float().log_softmax(2).mean(0).exp()
            self.confidence[batch.index] = targets.restrict(geometric_mean, candidates)
        return {
            "complement": losses.complement(logits[0], candidates),
            "consistency": weight * torch.stack([losses.divergence(q, z) for z in logits]).sum(),
        }
