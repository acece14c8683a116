"""POP. Xu, Liu, Lv, Qiao, Geng. Progressive Purification for Instance-Dependent Partial Label Learning.
ICML 2023 (arXiv 2206.00830).

    L = - mean_v sum_j c_j log p_j(x_v),   c = norm(Y * p(x_1)) as in PRODEN
    after epochs of the warm-up's number and more that `window` divides:  drop j from S where m_j < theta max_k m_k,
    then c = norm(Y * m),  m the mean of c over the last `window` epochs;
    theta <- (1 + growth) theta once hardly anything is dropped

The views are a weak one, x_1, and two strong ones. "Hardly anything" is fewer than 1 in 10,000 entries of the N x C
table, and theta stops at 0.4. The best candidate is never dropped, so a set of one stays. `zerolabel` shortens a
warm-up that would fill the whole training.

Against the authors' code (palm-ml/POP @ a5d6ca9): exact, losses, confidence, what is dropped and when, and theta
(test_pop).
"""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from zerolabel.annotations import Annotations
from zerolabel.blocks import losses, targets
from zerolabel.learners.base import Batch, Epoch, Learner, Losses, Pass, Views, views_of
from zerolabel.networks import Network
from zerolabel.options import Count, Epochs, Share, Weight

HIGHEST, FEW = 0.4, 1e-4


class POP(Learner):
    """Drop candidates that the network has long found improbable; an image without candidates is left out.

    Args:
        warm_up: the first candidate is dropped after the epoch of this number, from 0, or a later one.
        window: epochs over which the confidence is averaged, and from one purification to the next.
        theta: a candidate goes below this share of the best one's confidence.
        growth: relative growth of theta.
        view: that is learned from, or "three" as in the code: a weak one and two strong ones.
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
        view: Views = "three",
    ) -> None:
        super().__init__(network, annotations)
        self.views = views_of(view)
        self.warm_up, self.window, self.growth = warm_up, window, growth
        self.register_buffer("confidence", targets.uniform_over(annotations.candidates))
        self.register_buffer("recent", torch.zeros(window, *self.confidence.shape))
        self.register_buffer("theta", torch.tensor(theta))

    def passes(self, epoch: Epoch) -> Iterable[Pass]:
        """One pass over the images that have candidates, and purification after it where it is due."""
        self.figures = {"dropped": 0.0}
        yield Pass(self.training_step, (self.labeled,))
        self.recent[epoch.number % self.window] = self.confidence
        if epoch.number >= self.warm_up and epoch.number % self.window == 0:
            self.purify()
        sets = self.candidates[self.labeled].sum(1).float()
        self.figures["mean_candidates"] = float(losses.mean(sets))

    @torch.no_grad()
    def purify(self) -> None:
        """Drop the improbable candidates and take the mean confidence over the rest."""
        mean = targets.normalize(self.recent.sum(0))
        dropped = self.candidates & (mean < self.theta * mean.amax(1, keepdim=True))
        self.candidates &= ~dropped
        self.confidence.copy_(targets.restrict(mean, self.candidates))
        if dropped.sum() < FEW * dropped.numel() and self.theta < HIGHEST:
            self.theta *= 1 + self.growth
        self.figures["dropped"] = float(dropped.sum())

    def training_step(self, batch: Batch) -> Losses:
        """Cross-entropy of all views with the confidence, which then follows the first."""
        logits = [self.network(view) for view in batch.views]
        confidence = self.confidence[batch.index]
        with torch.no_grad():
            p = logits[0].float().softmax(1)
            self.confidence[batch.index] = targets.restrict(p, self.candidates[batch.index])
        return {"weighted": torch.stack([losses.cross_entropy(z, confidence) for z in logits]).mean()}
