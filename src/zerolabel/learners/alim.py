"""ALIM. Xu, Lian, Feng, Liu, Tao. ALIM: Adjusting Label Importance Mechanism for Noisy Partial Label Learning.
NeurIPS 2023 (arXiv 2301.12077).

PiCO, whose candidate sets are softened once the warm-up is over:

    t = norm(r (Y + mu (1 - Y))) or the one-hot row of its largest entry,   r = softmax(z . o / 0.07)
    c <- phi c + (1 - phi) t,   before the loss
    mu = min(1, the floor(N eta)-th smallest, from 0, of max_{j in S} r_j / max_{j not in S} r_j) over the images,
         of the last epoch; 0 in warm-up and where eta is 0
    L = CE(c, p(x_w)) + contrast_weight * L_cont + mixup_weight * CE(mix c, p(mix x_w))

so that about the share eta of the images, those with the least support for their sets, choose outside them.
eta, the share of sets that miss the truth, is estimated from the annotations unless it is given.

The class that joins prototypes and contrast is argmax p (Y + mu (1 - Y)). The temperature of 0.07 decides: without it r
is nearly uniform, the soft target too, and at a noise rate of 0.3 the training collapses.

Against the authors' code (commit 5c4e46a): targets, mu, losses, contrast and prototypes are exact. It differs in what
MixUp mixes with, images of a second batch there and of the same batch here; in `delay`; and in phi, which is one epoch
ahead here. Decided here: the ratio of a set of all classes counts as infinite; labels given by a person have
ratio and softening of their own: none. An image without candidates is left out.
"""

from collections.abc import Iterable
from functools import partial
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from zerolabel.annotations import Annotations, noise
from zerolabel.blocks import losses, mixup, targets
from zerolabel.blocks.contrastive import Contrast
from zerolabel.blocks.memory import Prototypes
from zerolabel.learners.base import Batch, Epoch, Learner, Losses, Pass
from zerolabel.networks import Network
from zerolabel.options import Concentration, Count, Epochs, Share, Temperature, Weight


class ALIM(Learner):
    """Classes outside the set count mu times, where mu follows the noise rate.

    Args:
        variant: "scale" for soft targets, "onehot" for one class.
        noise_rate: eta; none estimates it from the annotations.
        warm_up_share: share of the training before the sets are softened.
        contrast_weight: of the contrastive term.
        mixup_weight: of the term on mixed images.
        mixup: parameter of the Beta distribution; 0 does not mix.
        delay: epochs before prototypes and pseudo-labels are used.
        inertia: phi at the start of the training.
        final_inertia: phi at the end.
        prototype_momentum: of the prototypes.
        prototype_temperature: of z . o in r.
        temperature: of the contrastive similarities.
        embedding: dimension of z.
        queue: entries of the contrastive queue.
        ema_momentum: of the momentum copy.
    """

    views = ("weak", "strong")
    confidence: Float[Tensor, "N C"]
    margin: Float[Tensor, " N"]

    def __init__(
        self,
        network: Network,
        annotations: Annotations,
        *,
        variant: Literal["scale", "onehot"] = "scale",
        noise_rate: Share | None = None,
        warm_up_share: Share = 0.08,
        contrast_weight: Weight = 0.5,
        mixup_weight: Weight = 1.0,
        mixup: Concentration = 4.0,
        delay: Epochs = 1,
        inertia: Share = 0.95,
        final_inertia: Share = 0.8,
        prototype_momentum: Share = 0.99,
        prototype_temperature: Temperature = 0.07,
        temperature: Temperature = 0.07,
        embedding: Count = 128,
        queue: Count = 8192,
        ema_momentum: Share = 0.999,
    ) -> None:
        super().__init__(network, annotations)
        self.variant, self.warm_up_share, self.delay, self.temperature = variant, warm_up_share, delay, temperature
        self.noise_rate = noise.noise_rate(noise_rate, noise.candidate_noise, annotations)
        self.contrast_weight, self.mixup_weight, self.mixup = contrast_weight, mixup_weight, mixup
        self.inertia, self.final_inertia, self.prototype_temperature = inertia, final_inertia, prototype_temperature
        self.contrast = Contrast(network, embedding=embedding, queue=queue, momentum=ema_momentum)
        self.prototypes = Prototypes(len(annotations.classes), embedding, prototype_momentum)
        self.register_buffer("confidence", targets.uniform_over(annotations.candidates))
        self.register_buffer("margin", torch.ones(len(annotations)))

    def passes(self, epoch: Epoch) -> Iterable[Pass]:
        """One pass over the images that have candidates, with the mu of the epoch before."""
        if epoch.number == 0:
            self.contrast.start(self.network)
        softened = epoch.progress >= self.warm_up_share and epoch.number > self.delay
        rows = self.candidates.any(1) & (self.labels < 0)
        mu = targets.lower_quantile(self.margin[rows], self.noise_rate, cap=1.0) if self.noise_rate > 0 else 0.0
        self.figures = {"mu": mu if softened else 0.0}
        inertia = self.inertia + epoch.progress * (self.final_inertia - self.inertia)
        yield Pass(partial(self.training_step, inertia, mu, epoch.number, softened), (self.labeled,))

    def training_step(self, inertia: float, mu: float, number: int, softened: bool, batch: Batch) -> Losses:
        """The confidence moves; then cross-entropy with it, plain and on mixed images, and contrast."""
        (weak, strong), index, started = batch.views, batch.index, number >= self.delay
        keys = self.contrast.keys(self.network, strong)
        features = self.network.features(weak)
        logits, z = self.network.head(features), self.contrast.embed(features)
        mu = mu if softened else 0.0
        weight = targets.soften(self.candidates[index], torch.where(self.labels[index] >= 0, 0.0, mu))
        with torch.no_grad():
            pseudo = targets.normalize(logits.float().softmax(1) * weight).argmax(1)
            if started:
                near, t = self.prototypes.similarity(z), self.prototype_temperature
                self.margin[index] = targets.support((near / t).softmax(1), self.candidates[index])
                target = targets.likened(near, weight, t)
                if self.variant == "onehot":
                    target = targets.one_hot(target.argmax(1), target.shape[1])
                self.confidence[index] = inertia * self.confidence[index] + (1 - inertia) * target
            self.prototypes.update(z, pseudo, self.labels[index] >= 0)
        positive, ignored = self.contrast.same_label(pseudo) if started else self.contrast.own_key(len(index))
        similarity = self.contrast.similarity(z, keys) / self.temperature
        self.contrast.queue.push(keys, pseudo, torch.ones_like(pseudo, dtype=torch.bool))
        mix, confidence = mixup.draw(len(index), self.mixup, weak.device), self.confidence[index]
        return {
            "weighted": losses.cross_entropy(logits, confidence),
            "contrast": self.contrast_weight * losses.supervised_contrastive(similarity, positive, ignored),
            "mixup": self.mixup_weight * losses.cross_entropy(self.network(mix(weak)), mix(confidence)),
        }
