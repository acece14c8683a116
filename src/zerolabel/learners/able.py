"""ABLE. Xia, Lv, Xu, Geng. Ambiguity-Induced Contrastive Learning for Instance-Dependent Partial Label Learning.
IJCAI 2022.

    L = - sum_j c_j log p_j(x_w) + contrast_weight * mean over the 2B views a of
        - sum_{b != a} w_ab log( exp(z_a . z_b / tau) / sum_{k != a} exp(z_a . z_k / tau) )
    w_ab = c_i[y_k] / n(y_k),  for a a view of image i, b a view of image k
    y = argmax_{j in S} p_j(x_w),  n(j) the images of the batch with y = j;  c = norm(Y * p(x_w)), after the loss

Each candidate of an image thus attracts it, by its confidence, to the images of the batch that were given that class.
The contrast set is the batch itself; there is no queue and no momentum copy.
"""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from zerolabel.annotations import Annotations
from zerolabel.blocks import losses, targets
from zerolabel.learners.base import Batch, Epoch, Learner, Losses, Pass
from zerolabel.networks import Network, projector
from zerolabel.options import Count, Temperature, Weight


class ABLE(Learner):
    """Contrast in which every candidate has positives, by its confidence; images without candidates are left out.

    Args:
        contrast_weight: of the contrastive term.
        temperature: tau.
        embedding: dimension of z.
    """

    views = ("weak", "strong")
    confidence: Float[Tensor, "N C"]

    def __init__(
        self,
        network: Network,
        annotations: Annotations,
        *,
        contrast_weight: Weight = 1.0,
        temperature: Temperature = 0.07,
        embedding: Count = 128,
    ) -> None:
        super().__init__(network, annotations)
        self.contrast_weight, self.temperature = contrast_weight, temperature
        self.projector = projector(network.feature_dim, embedding)
        self.register_buffer("confidence", targets.uniform_over(annotations.candidates))

    def passes(self, epoch: Epoch) -> Iterable[Pass]:
        """One pass over the images that have candidates."""
        yield Pass(self.training_step, (self.labeled,))

    def training_step(self, batch: Batch) -> Losses:
        """Cross-entropy and contrast with the confidence of the last visit, which then follows the network."""
        n, candidates, confidence = len(batch.index), self.candidates[batch.index], self.confidence[batch.index]
        features = self.network.features(torch.cat(batch.views))
        logits = self.network.head(features[:n])
        z = F.normalize(self.projector(features).float(), dim=1)
        own = torch.eye(2 * n, dtype=torch.bool, device=z.device)
        with torch.no_grad():
            inside = targets.restrict(logits.float().softmax(1), candidates)
            weight = self.attraction(confidence, inside.argmax(1)).repeat(2, 2).masked_fill(own, 0)
            self.confidence[batch.index] = inside
        contrast = losses.weighted_contrastive(z @ z.T / self.temperature, weight, own)
        return {
            "weighted": losses.cross_entropy(logits, confidence),
            "contrast": self.contrast_weight * contrast,
        }

    @staticmethod
    def attraction(confidence: Float[Tensor, "B C"], chosen: Tensor) -> Float[Tensor, "B B"]:
        """``c_i[y_k] / n(y_k)`` for images i and k of a batch."""
        counts = torch.bincount(chosen, minlength=confidence.shape[1])
        return confidence[:, chosen] / counts[chosen]
