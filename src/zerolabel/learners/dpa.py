"""DPA. Ali, Silva, Khan. DPA: Dual Prototypes Alignment for Unsupervised Adaptation of Vision-Language Models. WACV
2025 (arXiv 2408.08855).

    q_i = (1 - a) norm(p_i / m) + a softmax(scale f_i . v),   y_i = argmax q_i,
    L = w_i CE(y_i, p(x_s)) + spread KL(prior || mean_i p_i) + align CE(scale v . t, identity)

p and f are prediction and feature of the weak view, m the running mean of the predictions, v the image prototypes,
which are the mean features of the images of each pseudo-label in the epoch before, and t the text prototypes: the
logits of v are what the network's head says of them. The weight of an image is the product of its two relative
confidences.

Ours: predictions are moved toward the prior instead of the uniform distribution (``norm(p prior / m)``); the relative
confidence is that in the pseudo-label over the mean confidence in the labels of the batch, at most 1; without
prototypes, in the first epoch, a and align are zero; a human label overrules q; a network that does not know the
classes yet learns the scores first.

Against the authors' code: not compared; by the formula, with the decisions above (loops in the tests).
"""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from zerolabel.annotations import Annotations
from zerolabel.blocks import losses, targets
from zerolabel.learners.base import Batch, Epoch, Learner, Losses, Pass
from zerolabel.networks import Network
from zerolabel.options import Epochs, Positive, Prior, Share, Weight

MEAN_MOMENTUM = 0.99


class DPA(Learner):
    """Pseudo-labels of text and image prototypes together, and images' prototypes held at the texts'.

    Args:
        share: a, of the image prototypes in a pseudo-label.
        scale: of the cosines to the image prototypes; CLIP's 100.
        align: weight of the prototypes' alignment.
        spread: weight of the divergence of the mean prediction.
        prior: of the classes: "uniform", "estimated" from the scores, or one weight per class.
        warm_up: epochs on the annotators' scores; none for a network that starts from zero-shot.
    """

    views = ("weak", "strong")
    prior: Float[Tensor, " C"]
    mean: Float[Tensor, " C"]
    vectors: Float[Tensor, "C D"]
    sums: Float[Tensor, "C D"]

    def __init__(
        self,
        network: Network,
        annotations: Annotations,
        *,
        share: Share = 0.2,
        scale: Positive = 100.0,
        align: Weight = 0.1,
        spread: Weight = 1.0,
        prior: Prior = "estimated",
        warm_up: Epochs = 0,
    ) -> None:
        super().__init__(network, annotations)
        self.share, self.scale, self.align, self.spread, self.warm_up = share, scale, align, spread, warm_up
        self.register_buffer("prior", targets.class_prior(self.scores, prior))
        self.register_buffer("mean", self.prior.clone())
        self.register_buffer("vectors", torch.zeros(len(self.prior), network.feature_dim))
        self.register_buffer("sums", torch.zeros(len(self.prior), network.feature_dim))

    def passes(self, epoch: Epoch) -> Iterable[Pass]:
        """One pass over all images, with the prototypes of the epoch before."""
        if epoch.number < self.warm_up:
            yield Pass(self.warm_up_step, (self.labeled,))
            return
        self.vectors.copy_(torch.where(self.sums.any(1, keepdim=True), F.normalize(self.sums, dim=1), self.vectors))
        self.sums.zero_()
        yield Pass(self.training_step)

    def warm_up_step(self, batch: Batch) -> Losses:
        """Cross-entropy with the scores, or with a human label."""
        target = targets.with_human_labels(self.scores[batch.index], self.labels[batch.index])
        return {"warm_up": losses.cross_entropy(self.network(batch.views[0]), target)}

    def training_step(self, batch: Batch) -> Losses:
        """The weighted cross-entropy, the divergence of the mean prediction, and the alignment."""
        weak, strong = batch.views
        with torch.no_grad():
            y, weight = self.pseudo_labels(weak, batch)
        logits, seen = self.network(strong), self.vectors.any(1)
        aligned = self.network.head(self.vectors[seen])
        identity = targets.one_hot(seen.nonzero().squeeze(1), len(seen))
        return {
            "pseudo": losses.cross_entropy(logits, weight[:, None] * y),
            "spread": self.spread * losses.prior_divergence(logits, self.prior),
            "align": self.align * losses.cross_entropy(aligned, identity),
        }

    def pseudo_labels(self, weak: Tensor, batch: Batch) -> tuple[Float[Tensor, "B C"], Float[Tensor, " B"]]:
        """One-hot labels and weights of a batch, whose features are added to those of their classes."""
        raw = self.network.features(weak)
        f, p = F.normalize(raw.float(), dim=1), self.network.head(raw).float().softmax(1)
        self.mean.lerp_(p.mean(0), 1 - MEAN_MOMENTUM)
        by_text = targets.normalize(p * self.prior / self.mean.clamp_min(targets.TINY))
        known = bool(self.vectors.any())
        by_image = (self.scale * f @ self.vectors.T).softmax(1) if known else by_text
        a = self.share if known else 0.0
        q = targets.with_human_labels((1 - a) * by_text + a * by_image, self.labels[batch.index])
        y = targets.one_hot(q.argmax(1), q.shape[1])
        weight = relative(by_text, y) * relative(by_image, y)
        self.sums.add_(y.T @ f)
        return y, torch.where(self.labels[batch.index] >= 0, torch.ones_like(weight), weight)


def relative(p: Float[Tensor, "B C"], y: Float[Tensor, "B C"]) -> Float[Tensor, " B"]:
    """Confidence in the label over its mean in the batch, at most 1."""
    confidence = (p * y).sum(1)
    return (confidence / confidence.mean().clamp_min(targets.TINY)).clamp_max(1)
