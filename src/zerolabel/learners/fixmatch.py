"""FixMatch. Sohn, Berthelot, Li, Zhang, Carlini, Cubuk, Kurakin, Zhang, Raffel. FixMatch: Simplifying
Semi-Supervised Learning with Consistency and Confidence. NeurIPS 2020 (arXiv 2001.07685).

    L = CE(y, p(x_w))                                    labeled images
      + lambda_u [p_c(x_w) >= tau] CE(c, p(x_s)),        the others; c = argmax_{j in S} p_j(x_w)

A few images carry a human label; the others have candidate sets S. Ours is what candidates do here: a pseudo-label
is the best class inside S, kept where the network, which does not know S, is confident in it; an image without a vote
may have any class, as in the paper. What is labeled: a person's images, and for a class of which there is none the
images whose candidate set is that class alone; where no image is labeled in this sense, all candidate sets, with
-log sum_{j in S} p_j(x_w). The paper deploys a running mean of the weights, here the network itself is.

Against TorchSSL's code (TorchSSL/TorchSSL @ f26e1d4): exact over twelve steps (golden file fixmatch).
"""

from collections.abc import Iterable

import torch
from jaxtyping import Int
from torch import Tensor

from zerolabel.annotations import Annotations
from zerolabel.blocks import losses, targets
from zerolabel.learners.base import Batch, Epoch, Learner, Losses, Pass
from zerolabel.networks import Network
from zerolabel.options import Positive, Share, Weight


class FixMatch(Learner):
    """A few labels; the other images must agree with their own confident predictions.

    Args:
        threshold: tau, the least probability of a pseudo-label.
        unlabeled_weight: lambda_u.
        ratio: mu, unlabeled images per labeled one in a batch; the batch size counts the unlabeled.
    """

    views = ("weak", "strong")
    rest: Int[Tensor, " U"]
    own: Int[Tensor, " L"]

    def __init__(
        self,
        network: Network,
        annotations: Annotations,
        *,
        threshold: Share = 0.95,
        unlabeled_weight: Weight = 1.0,
        ratio: Positive = 7.0,
    ) -> None:
        super().__init__(network, annotations)
        self.threshold, self.unlabeled_weight = threshold, unlabeled_weight
        rest, own = targets.labeled_batches(self.candidates, self.labels, ratio)
        self.register_buffer("rest", rest)
        self.register_buffer("own", own)

    def passes(self, epoch: Epoch) -> Iterable[Pass]:
        """One pass over the unlabeled images with labeled ones beside them, or the other way round."""
        if len(self.own) > len(self.rest):
            yield Pass(self.training_step, (self.own, self.rest), restart=False)
        else:
            yield Pass(lambda rest, own: self.training_step(own, rest), (self.rest, self.own), restart=False)

    def training_step(self, own: Batch, rest: Batch) -> Losses:
        """Both terms, in one forward pass."""
        n, m = len(own.index), len(rest.index)
        logits = self.network(torch.cat([own.views[0], rest.views[0], rest.views[1]])).float()
        with torch.no_grad():
            sure, best = targets.best_candidate(logits[n : n + m].softmax(1), self.candidates[rest.index])
            goal = (sure >= self.threshold)[:, None] * targets.one_hot(best, logits.shape[1])
        return {
            "supervised": losses.partial_cross_entropy(logits[:n], self.candidates[own.index], full_sets=True),
            "unlabeled": self.unlabeled_weight * losses.cross_entropy(logits[n + m :], goal),
        }
