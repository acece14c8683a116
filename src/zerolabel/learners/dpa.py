"""DPA. Ali, Silva, Khan. DPA: Dual Prototypes Alignment for Unsupervised Adaptation of Vision-Language Models. WACV
2025 (arXiv 2408.08855).

    q_i = (1 - a) norm(p_i prior / m) + a r_i,   r_i = softmax(scale f_i . v),   y_i = argmax q_i
    L = mean_i w_i CE(y_i, p(x_s)) + spread KL(prior || mean_i p_i(x_s)) + align CE(scale v . t, identity)
    w_i = p_iy / max_k p_ik  *  r_iy / max_k r_ik

p and f are prediction and feature of the weak view, m the mean of p over the last 32 batches, this one among them, v
the image prototypes and t the text prototypes: what the network's head says of v. The prototype of a class is the mean
direction of the features of its pseudo-labels in the epoch before, and its text where it had none. Before the first
epoch all images are looked at once in eval mode, each with its best class.

Ours: predictions are moved toward the prior instead of the uniform distribution; a human label overrules q and has the
weight 1; a network that does not know the classes yet learns the scores first.

Against the authors' code (Externalhappy/DPA @ 57f17de, its prototypes and weights read in the copy of them in
zhuangkailai/CGM @ f68f14f): exact with ``prior=uniform``, labels, weights, prototypes and losses up to a constant
(test_dpa). Documented differences: the scale of v . t, which is the model's own, and 1 for two of its data sets; a
learned classifier is not brought to length 1.
"""

from collections.abc import Iterable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from zerolabel.annotations import Annotations
from zerolabel.blocks import losses, targets
from zerolabel.learners.base import Batch, Epoch, Learner, Losses, Pass
from zerolabel.networks import Network
from zerolabel.options import Epochs, Positive, Prior, Share, Weight

BATCHES = 32
"""Whose mean predictions are averaged."""


class DPA(Learner):
    """Pseudo-labels of text and image prototypes together, and images' prototypes held at the texts'.

    Args:
        share: a, of the image prototypes in a pseudo-label.
        scale: of the cosines to the image prototypes; CLIP's 100.
        align: weight of the prototypes' alignment.
        spread: weight of the divergence of the mean prediction.
        prior: of the classes: "uniform", "estimated" from the scores, or one weight per class.
        classifier_rate: how many times faster than the image side the rest learns.
        warm_up: epochs on the annotators' scores; none for a network that starts from zero-shot.
    """

    views = ("weak", "strong")
    prior: Float[Tensor, " C"]
    recent: Float[Tensor, "W C"]
    batches: Int[Tensor, ""]
    prototypes: Float[Tensor, "C D"]
    sums: Float[Tensor, "C D"]

    def __init__(
        self,
        network: Network,
        annotations: Annotations,
        *,
        share: Share = 0.2,
        scale: Positive = 100.0,
        align: Weight = 1.0,
        spread: Weight = 1.0,
        prior: Prior = "estimated",
        classifier_rate: Positive = 1.0,
        warm_up: Epochs = 0,
    ) -> None:
        super().__init__(network, annotations)
        self.share, self.scale, self.align, self.spread, self.warm_up = share, scale, align, spread, warm_up
        self.classifier_rate = classifier_rate
        self.register_buffer("prior", targets.class_prior(self.scores, prior))
        self.register_buffer("recent", torch.zeros(BATCHES, len(self.prior)))
        self.register_buffer("batches", torch.tensor(0))
        self.register_buffer("prototypes", torch.zeros(len(self.prior), network.feature_dim))
        self.register_buffer("sums", torch.zeros(len(self.prior), network.feature_dim))

    def parameter_groups(self) -> list[tuple[float, list[nn.Parameter]]]:
        """The classifier at a rate of its own."""
        image = self.network.image_parameters()
        known = {id(p) for p in image}
        return [(1.0, image), (self.classifier_rate, [p for p in self.parameters() if id(p) not in known])]

    def passes(self, epoch: Epoch) -> Iterable[Pass]:
        """One pass over all images with the prototypes of the epoch before; before the first, a look at them."""
        if epoch.number < self.warm_up:
            yield Pass(self.scores_step, (self.labeled,))
            return
        if epoch.number == self.warm_up:
            yield Pass(self.first_look, views=("weak",))
            self.rebuild()
        yield Pass(self.training_step)
        self.rebuild()

    def first_look(self, batch: Batch) -> Losses:
        """Features of the best class of each image; nothing is learned."""
        self.network.eval()
        with torch.no_grad():
            raw = self.network.features(batch.views[0])
            p = targets.with_human_labels(self.network.head(raw).float().softmax(1), self.labels[batch.index])
            self.sums.add_(targets.one_hot(p.argmax(1), p.shape[1]).T @ F.normalize(raw.float(), dim=1))
        self.network.train()
        return {"first_look": torch.zeros((), device=raw.device, requires_grad=True)}

    @torch.no_grad()
    def rebuild(self) -> None:
        """New prototypes of the features that were added up; of a class without any, its text."""
        texts = self.network.class_vectors().to(self.sums)
        self.prototypes.copy_(F.normalize(torch.where(self.sums.any(1, keepdim=True), self.sums, texts), dim=1))
        self.sums.zero_()

    def training_step(self, batch: Batch) -> Losses:
        """The weighted cross-entropy, the divergence of the mean prediction, and the alignment."""
        weak, strong = batch.views
        y, weight = self.pseudo_labels(weak, batch)
        logits, aligned = self.network(strong), self.network.head(self.prototypes)
        return {
            "pseudo": losses.cross_entropy(logits, weight[:, None] * y),
            "spread": self.spread * losses.prior_divergence(logits, self.prior),
            "align": self.align * losses.cross_entropy(aligned, torch.eye(len(aligned), device=aligned.device)),
        }

    @torch.no_grad()
    def pseudo_labels(self, weak: Tensor, batch: Batch) -> tuple[Float[Tensor, "B C"], Float[Tensor, " B"]]:
        """One-hot labels and weights of a batch, whose features are added to those of their classes."""
        raw = self.network.features(weak)
        f, p = F.normalize(raw.float(), dim=1), self.network.head(raw).float().softmax(1)
        self.recent[self.batches % BATCHES] = p.mean(0)
        self.batches += 1
        mean = self.recent.sum(0) / self.batches.clamp_max(BATCHES)
        by_text = targets.normalize(p * self.prior / mean.clamp_min(targets.TINY))
        by_image = (self.scale * f @ self.prototypes.T).softmax(1)
        q = targets.with_human_labels((1 - self.share) * by_text + self.share * by_image, self.labels[batch.index])
        y = targets.one_hot(q.argmax(1), q.shape[1])
        self.sums.add_(y.T @ f)
        weight = relative(p, y) * relative(by_image, y)
        return y, torch.where(self.labels[batch.index] >= 0, torch.ones_like(weight), weight)


def relative(p: Float[Tensor, "B C"], y: Float[Tensor, "B C"]) -> Float[Tensor, " B"]:
    """Confidence in the label over that in the best class."""
    return (p * y).sum(1) / p.amax(1).clamp_min(targets.TINY)
