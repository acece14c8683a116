"""MUST. Li, Savarese, Hoi. Masked Unsupervised Self-training for Label-free Image Classification. ICLR 2023 (arXiv
2206.02967).

    L = mean_{i: max q_i > threshold} CE(argmax q_i, p(x_s,i)) - fairness sum_c prior_c log mean_i p_c(x_s,i)
    q = teacher(x_w)

The teacher is a slow copy of the network. This is the self-training part of the method: its masked image modeling and
the alignment of masked patches need a decoder of pixels, which other networks than its own have not.

Against the authors' code (salesforce/MUST @ 1e0f84e): exact in both terms (golden file must). Documented differences:
the second term is KL(prior || mean p), which is theirs but for a constant; at 512 classes and more they take it of a
moving mean of two batches; their momentum rises, by data set, and the teacher follows after the optimizer's step.

Ours: the prior of the second term, which the paper has uniform, is an argument; a human label takes the teacher's
place; a network that does not know the classes yet learns the scores first.
"""

from collections.abc import Iterable
from copy import deepcopy

import torch
from jaxtyping import Float
from torch import Tensor

from zerolabel.annotations import Annotations
from zerolabel.blocks import losses, targets
from zerolabel.blocks.memory import Momentum
from zerolabel.learners.base import Batch, Epoch, Learner, Losses, Pass
from zerolabel.networks import Network
from zerolabel.options import Epochs, Prior, Share, Weight


class MUST(Learner):
    """Learn what a slow copy is confident in, and do not go to few classes.

    Args:
        threshold: confidence of the teacher above which it is believed.
        ema_momentum: of the teacher.
        fairness: weight of the second term.
        prior: of the classes: "uniform", "estimated" from the scores, or one weight per class.
        warm_up: epochs on the annotators' scores; none for a network that starts from zero-shot.
    """

    views = ("weak", "strong")
    prior: Float[Tensor, " C"]

    def __init__(
        self,
        network: Network,
        annotations: Annotations,
        *,
        threshold: Share = 0.7,
        ema_momentum: Share = 0.99,
        fairness: Weight = 1.0,
        prior: Prior = "estimated",
        warm_up: Epochs = 0,
    ) -> None:
        super().__init__(network, annotations)
        self.threshold, self.fairness, self.warm_up = threshold, fairness, warm_up
        self.teacher = Momentum(deepcopy(network), ema_momentum)
        self.register_buffer("prior", targets.class_prior(self.scores, prior))

    def passes(self, epoch: Epoch) -> Iterable[Pass]:
        """One pass over all images."""
        if epoch.number < self.warm_up:
            yield Pass(self.scores_step, (self.labeled,))
            return
        if epoch.number == self.warm_up:
            self.teacher.reset(self.network)
        yield Pass(self.training_step)

    def training_step(self, batch: Batch) -> Losses:
        """Cross-entropy on the images that the teacher is confident in, fairness on all; the teacher then follows."""
        weak, strong = batch.views
        with torch.no_grad():
            q = targets.with_human_labels(self.teacher(weak).float().softmax(1), self.labels[batch.index])
        logits, sure = self.network(strong), q.amax(1) > self.threshold
        self.teacher.follow(self.network)
        return {
            "self_training": losses.cross_entropy(logits[sure], targets.one_hot(q[sure].argmax(1), q.shape[1])),
            "fairness": self.fairness * losses.prior_divergence(logits, self.prior),
        }
