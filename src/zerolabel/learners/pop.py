"""POP. Xu, Liu, Lv, Qiao, Geng. Progressive Purification for Instance-Dependent Partial Label Learning.
ICML 2023 (arXiv 2206.00830).

    L = - sum_j c_j log p_j(x),   c = norm(Y * p) as in PRODEN
    after the warm-up, before every epoch:  drop j from S where m_j < theta max_k m_k,  then c = norm(Y * m),
    m the mean of c over the last epochs;  theta <- (1 + growth) theta once hardly anything is dropped

"Hardly anything" is fewer than 1 in 10,000 entries of the N x C table, and theta stops at 0.4: values of the benchmark
PLENCH, as are the defaults. The best candidate is never dropped, so a set of one stays. `zerolabel` shortens a
warm-up that would fill the whole training.
"""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from zerolabel.annotations import Annotations
from zerolabel.blocks import losses, targets
from zerolabel.learners.base import Batch, Epoch, Learner, Losses, Pass, View
from zerolabel.networks import Network
from zerolabel.options import Count, Epochs, Share, Weight

HIGHEST, FEW = 0.4, 1e-4


class POP(Learner):
    """Drop candidates that the network has long found improbable; an image without candidates is left out.

    Args:
        warm_up: epochs before the first candidate is dropped.
        window: epochs over which the confidence is averaged.
        theta: a candidate goes below this share of the best one's confidence.
        growth: relative growth of theta.
        view: that is learned from; the paper's is "weak", the default is that of the cross-entropy baseline.
    """

    confidence: Float[Tensor, "N C"]
    recent: Float[Tensor, "W N C"]
    theta: Float[Tensor, ""]

    def __init__(
        self,
        network: Network,
        annotations: Annotations,
        *,
        warm_up: Epochs = 20,
        window: Count = 5,
        theta: Share = 1e-3,
        growth: Weight = 1e-3,
        view: View = "strong",
    ) -> None:
        super().__init__(network, annotations)
        self.views = (view,)
        self.warm_up, self.growth = warm_up, growth
        self.register_buffer("confidence", targets.uniform_over(annotations.candidates))
        self.register_buffer("recent", torch.zeros(window, *self.confidence.shape))
        self.register_buffer("theta", torch.tensor(theta))

    def passes(self, epoch: Epoch) -> Iterable[Pass]:
        """Purification after the warm-up; then one pass over the images that have candidates."""
        if epoch.number > 0:
            self.recent.copy_(torch.cat([self.confidence[None], self.recent[:-1]]))
            if epoch.number >= self.warm_up:
                self.purify()
        yield Pass(self.training_step, (self.labeled,))

    @torch.no_grad()
    def purify(self) -> None:
        """Drop the improbable candidates and take the mean confidence over the rest."""
        mean = targets.normalize(self.recent.sum(0))
        dropped = self.candidates & (mean < self.theta * mean.amax(1, keepdim=True))
        self.candidates &= ~dropped
        self.confidence.copy_(targets.restrict(mean, self.candidates))
        if dropped.sum() < FEW * dropped.numel() and self.theta < HIGHEST:
            self.theta *= 1 + self.growth
        sets = self.candidates[self.labeled].sum(1).float()
        self.figures = {"dropped": float(dropped.sum()), "mean_candidates": float(losses.mean(sets))}

    def training_step(self, batch: Batch) -> Losses:
        """Cross-entropy with the confidence, which then follows the network."""
        logits = self.network(batch.views[0])
        loss = losses.cross_entropy(logits, self.confidence[batch.index])
        with torch.no_grad():
            p = logits.float().softmax(1)
            self.confidence[batch.index] = targets.restrict(p, self.candidates[batch.index])
        return {"weighted": loss}
