"""FlexMatch. Zhang, Wang, Hou, Wu, Wang, Okumura, Shinozaki. FlexMatch: Boosting Semi-Supervised Learning with
Curriculum Pseudo Labeling. NeurIPS 2021 (arXiv 2110.08263).

FixMatch with a threshold for each class, lower for those that are learned more slowly:

    sigma(c) = number of unlabeled images whose last sure prediction (p >= tau) was c
    beta(c)  = sigma(c) / max( max_c sigma(c), N_u - sum_c sigma(c) )
    T(c)     = tau beta(c) / (2 - beta(c))
    L        = CE(y, p(x_w)) + lambda_u [p_c(x_w) > T(c)] CE(c, p(x_s)),   c = argmax_{j in S} p_j(x_w)

Ours is what candidates do, as in `fixmatch`: a pseudo-label is the best class inside S, kept where the network, which
does not know S, is sure enough of it; the labeled images are a person's, for a class without any those whose
candidate set is that class alone, and where there are none all candidate sets with -log sum_{j in S} p_j(x_w). The
network itself is deployed, not a running mean of its weights.

Against the authors' code (TorchSSL/TorchSSL @ f26e1d4): exact over twelve steps (golden file flexmatch).
"""

from collections.abc import Iterable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from zerolabel.annotations import Annotations
from zerolabel.blocks import losses, targets
from zerolabel.learners.base import Batch, Epoch, Learner, Losses, Pass
from zerolabel.networks import Network
from zerolabel.options import Positive, Share, Weight


class FlexMatch(Learner):
    """A few labels; pseudo-labels for the others, by thresholds that follow what is learned of each class.

    Args:
        threshold: tau, the largest that a class's threshold can be.
        unlabeled_weight: lambda_u.
        ratio: mu, unlabeled images per labeled one in a batch; the batch size counts the unlabeled.
    """

    views = ("weak", "strong")
    rest: Int[Tensor, " U"]
    own: Int[Tensor, " L"]
    last: Int[Tensor, " N"]

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
        self.register_buffer("last", torch.full_like(self.labels, -1))

    def passes(self, epoch: Epoch) -> Iterable[Pass]:
        """One pass over the unlabeled images with labeled ones beside them, or the other way round."""
        self.figures = {"sure": float((self.last >= 0).sum())}
        if len(self.own) > len(self.rest):
            yield Pass(self.training_step, (self.own, self.rest), restart=False)
        else:
            yield Pass(lambda rest, own: self.training_step(own, rest), (self.rest, self.own), restart=False)

    def thresholds(self) -> Float[Tensor, " C"]:
        """T(c), by the last sure predictions."""
        counts = torch.bincount(self.last[self.rest] + 1, minlength=self.candidates.shape[1] + 1)
        unsure, learned = counts[0], counts[1:]
        beta = learned / torch.maximum(learned.max(), unsure).clamp_min(1)
        return self.threshold * beta / (2 - beta)

    def training_step(self, own: Batch, rest: Batch) -> Losses:
        """Both terms, in one forward pass."""
        n, m = len(own.index), len(rest.index)
        logits = self.network(torch.cat([own.views[0], rest.views[0], rest.views[1]])).float()
        with torch.no_grad():
            sure, best = targets.best_candidate(logits[n : n + m].softmax(1), self.candidates[rest.index])
            goal = (sure > self.thresholds()[best])[:, None] * targets.one_hot(best, logits.shape[1])
            self.last[rest.index] = best.where(sure >= self.threshold, self.last[rest.index])
        return {
            "supervised": losses.partial_cross_entropy(logits[:n], self.candidates[own.index], full_sets=True),
            "unlabeled": self.unlabeled_weight * losses.cross_entropy(logits[n + m :], goal),
        }
