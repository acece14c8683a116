"""PaPi. Xia, Lv, Xu, Niu, Geng. Toward Effective Visual Representations for Partial-Label Learning.
CVPR 2023.

    L = CE(c, p(x_1)) + alpha(e) sum_v ( m KL(c || s(x_v m)) + (1 - m) KL(c' || s(x_v m)) )
    s = softmax(z . o / 0.3) on MixUp of the images of each view v with share m; c' belongs to the images mixed in
    c <- phi c + (1 - phi) norm(Y * p(x_1)),  before the loss
    o_k <- l2(m_o o_k + (1 - m_o) z) for the embeddings of both views with argmax_{j in S} p_j = k

phi falls from 0.95 to 0.8 and m_o from 0.9 to 0.5 over the training; alpha rises to 1 in 10 epochs. Co-Reg's prototype
term follows this design. Prototypes are zero until their first image, so that s is uniform, and are brought to length 1
once a batch. Each view passes the network by itself.

Against the authors' code (commit 251f5df): steps are exact. One share and one permutation serve both views; the larger
part is the image's own here, where the code takes the share as drawn: that is the same loss with the pairs turned
round. phi and m_o are one epoch ahead here: the code has those of the epoch before, 0.99 in the first. Decided here:
the two views are a weak and a strong one. An image without candidates is left out.
"""

from collections.abc import Iterable
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from zerolabel.annotations import Annotations
from zerolabel.blocks import losses, mixup, targets
from zerolabel.blocks.memory import Prototypes
from zerolabel.learners.base import Batch, Epoch, Learner, Losses, Pass
from zerolabel.networks import Network, projector
from zerolabel.options import Concentration, Count, Epochs, Share, Temperature, Weight


class PaPi(Learner):
    """The classifier guides the prototypes, whose similarities follow the label confidence.

    Args:
        prototype_weight: final alpha.
        ramp: epochs over which alpha rises to it.
        inertia: phi at the start of the training.
        final_inertia: phi at the end.
        prototype_momentum: m_o at the start of the training.
        final_prototype_momentum: m_o at the end.
        temperature: of the prototype similarities.
        mixup: parameter of the Beta distribution; 0 does not mix.
        embedding: dimension of z.
    """

    views = ("weak", "strong")
    confidence: Float[Tensor, "N C"]

    def __init__(
        self,
        network: Network,
        annotations: Annotations,
        *,
        prototype_weight: Weight = 1.0,
        ramp: Epochs = 10,
        inertia: Share = 0.95,
        final_inertia: Share = 0.8,
        prototype_momentum: Share = 0.9,
        final_prototype_momentum: Share = 0.5,
        temperature: Temperature = 0.3,
        mixup: Concentration = 8.0,
        embedding: Count = 128,
    ) -> None:
        super().__init__(network, annotations)
        self.prototype_weight, self.ramp = prototype_weight, ramp
        self.inertia, self.final_inertia = inertia, final_inertia
        self.prototype_momentum, self.final_prototype_momentum = prototype_momentum, final_prototype_momentum
        self.temperature, self.mixup = temperature, mixup
        self.projector = projector(network.feature_dim, embedding)
        self.prototypes = Prototypes(len(annotations.classes), embedding, prototype_momentum)
        self.register_buffer("confidence", targets.uniform_over(annotations.candidates))

    def passes(self, epoch: Epoch) -> Iterable[Pass]:
        """One pass over the images that have candidates."""
        momentum, final = self.prototype_momentum, self.final_prototype_momentum
        self.prototypes.momentum = momentum + epoch.progress * (final - momentum)
        inertia = self.inertia + epoch.progress * (self.final_inertia - self.inertia)
        alpha = self.prototype_weight * (min(epoch.number / self.ramp, 1.0) if self.ramp else 1.0)
        yield Pass(partial(self.training_step, inertia, alpha), (self.labeled,))

    def training_step(self, inertia: float, alpha: float, batch: Batch) -> Losses:
        """The confidence moves; then both terms with it and with the prototypes of the batches before."""
        index, candidates = batch.index, self.candidates[batch.index]
        features = torch.cat([self.network.features(view) for view in batch.views])
        logits = self.network.head(features[: len(index)])
        with torch.no_grad():
            inside = targets.restrict(logits.float().softmax(1), candidates)
            self.confidence[index] = inertia * self.confidence[index] + (1 - inertia) * inside
        confidence = self.confidence[index]
        terms = {"weighted": losses.cross_entropy(logits, confidence)}
        if alpha:
            terms["prototype"] = alpha * self.alignment(batch, confidence)
        with torch.no_grad():
            self.move(index, features.detach(), candidates)
        return terms

    def alignment(self, batch: Batch, confidence: Float[Tensor, "B C"]) -> Float[Tensor, ""]:
        """Divergence between confidence and prototype similarity on MixUp, summed over the views."""
        mix = mixup.draw(len(batch.index), self.mixup, batch.index.device)
        z = self.embed(torch.cat([self.network.features(mix(view)) for view in batch.views]))
        similarity = self.prototypes.similarity(z) / self.temperature
        own, other = confidence.repeat(len(batch.views), 1), confidence[mix.order].repeat(len(batch.views), 1)
        mean = mix.share * losses.divergence(own, similarity) + (1 - mix.share) * losses.divergence(other, similarity)
        return len(batch.views) * mean

    def move(self, index: Tensor, features: Float[Tensor, "V D"], candidates: Tensor) -> None:
        """Prototypes toward the embeddings of both views, each by the class that its own view is given."""
        p = self.network.head(features).float().softmax(1)
        pseudo = targets.restrict(p, candidates.repeat(2, 1)).argmax(1)
        self.prototypes.update(self.embed(features), pseudo, (self.labels[index] >= 0).repeat(2))

    def embed(self, features: Float[Tensor, "B D"]) -> Float[Tensor, "B E"]:
        """Unit embeddings."""
        return F.normalize(self.projector(features).float(), dim=1)
