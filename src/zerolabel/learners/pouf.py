"""POUF. Tanwisuth, Zhang, Zheng, He, Zhou. POUF: Prompt-oriented Unsupervised Fine-tuning for Large Pre-trained Models.
ICML 2023 (arXiv 2305.00350).

    L = mean_i sum_c softmax_c(z_ic) d_ic + sum_c prior_c sum_i softmax_i(z_ic) d_ic
        + weight (mean_i H(p_i) + KL(mean_i p_i || prior)),   d = 1 - cos,  z = scale cos,  p_i = softmax_c(z_ic)

Images are moved to classes and classes to the images of the batch, each at the minimum cost; images become more
confident and do not all go to one class. The paper has a uniform prior, under which the divergence is the entropy of
the mean, negative, and a constant.

Ours: the prior is an argument; cosines are the logits over the scale, so that any network can be trained; human
labels add their cross-entropy; a network that does not know the classes yet learns the scores first.

Against the authors' code: exact with ``prior=uniform``, but for their 1e-5 and 1e-6 in logarithms (golden/pouf).
"""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from zerolabel.annotations import Annotations
from zerolabel.blocks import losses, targets
from zerolabel.learners.base import Batch, Epoch, Learner, Losses, Pass
from zerolabel.networks import Network
from zerolabel.options import Epochs, Positive, Prior, Weight


class POUF(Learner):
    """Move images and classes toward each other, and be sure of every image.

    Args:
        weight: of the entropies.
        scale: of the network's cosines; CLIP's 100.
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
        weight: Weight = 0.3,
        scale: Positive = 100.0,
        prior: Prior = "estimated",
        human_weight: Weight = 1.0,
        warm_up: Epochs = 0,
    ) -> None:
        super().__init__(network, annotations)
        self.weight, self.scale, self.human_weight, self.warm_up = weight, scale, human_weight, warm_up
        self.register_buffer("prior", targets.class_prior(self.scores, prior))

    def passes(self, epoch: Epoch) -> Iterable[Pass]:
        """One pass over all images, with those labeled by a human beside them."""
        if epoch.number < self.warm_up:
            yield Pass(self.scores_step, (self.labeled,))
            return
        yield Pass(self.training_step, self.all_and_human)

    def training_step(self, batch: Batch, human: Batch) -> Losses:
        """Both ways of transport, both entropies, and the cross-entropy of human labels."""
        logits = self.network(torch.cat([batch.views[0], human.views[0]]))
        n = len(batch.index)
        there, back = losses.transport(logits[:n], self.prior, self.scale)
        target = targets.one_hot(self.labels[human.index], logits.shape[1])
        return {
            "to_classes": there,
            "to_images": back,
            "entropy": -self.weight * losses.negative_entropy(logits[:n]),
            "spread": self.weight * losses.divergence_of_mean(logits[:n], self.prior),
            "human": self.human_weight * losses.cross_entropy(logits[n:], target),
        }
