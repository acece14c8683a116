"""TENT and information maximization. Wang, Shelhamer, Liu, Olshausen, Darrell. Tent: Fully Test-Time Adaptation by
Entropy Minimization. ICLR 2021 (arXiv 2006.10726); Krause, Perona, Gomes. Discriminative Clustering by Regularized
Information Maximization. NIPS 2010.

    L = mean_i H(p_i) + spread KL(prior || mean_i p_i)

TENT is the first term alone, on scales and shifts of normalizations, image batch by image batch as they come; here it
is trained by epochs. With the second, which under a uniform prior keeps the mean prediction from one class, it is
information maximization in the form that takes a prior; the entropy of the mean is the other direction of it.

Ours: human labels add their cross-entropy; a network that does not know the classes yet learns the scores first.

Against the authors' code (DequanWang/tent @ 7d236b4): exact in the entropy and its mean (test_tent). Documented
difference: statistics of batch normalization stay the model's own, where the code takes those of each batch.
"""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from zerolabel.annotations import Annotations
from zerolabel.blocks import losses, targets
from zerolabel.learners.base import Batch, Epoch, Learner, Losses, Pass
from zerolabel.networks import Network
from zerolabel.options import Epochs, Prior, Weight


class Tent(Learner):
    """Be sure of every image, and not of one class for all.

    Args:
        spread: weight of the second term; 0 is TENT.
        prior: of the classes: "uniform", "estimated" from the scores, or one weight per class.
        human_weight: of the cross-entropy on images labeled by humans.
        warm_up: epochs on the annotators' scores; none for a network that starts from zero-shot.
    """

    views = ("weak",)
    prior: Float[Tensor, " C"]

    def __init__(
        self,
        network: Network,
        annotations: Annotations,
        *,
        spread: Weight = 0.0,
        prior: Prior = "estimated",
        human_weight: Weight = 1.0,
        warm_up: Epochs = 0,
    ) -> None:
        super().__init__(network, annotations)
        self.spread, self.human_weight, self.warm_up = spread, human_weight, warm_up
        self.register_buffer("prior", targets.class_prior(self.scores, prior))

    def passes(self, epoch: Epoch) -> Iterable[Pass]:
        """One pass over all images, with those labeled by a human beside them."""
        if epoch.number < self.warm_up:
            yield Pass(self.scores_step, (self.labeled,))
            return
        yield Pass(self.training_step, self.all_and_human)

    def training_step(self, batch: Batch, human: Batch) -> Losses:
        """Entropy, divergence of the mean prediction, and the cross-entropy of human labels."""
        logits = self.network(torch.cat([batch.views[0], human.views[0]]))
        n = len(batch.index)
        target = targets.one_hot(self.labels[human.index], logits.shape[1])
        return {
            "entropy": -losses.negative_entropy(logits[:n]),
            "spread": self.spread * losses.prior_divergence(logits[:n], self.prior),
            "human": self.human_weight * losses.cross_entropy(logits[n:], target),
        }
