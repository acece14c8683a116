"""PiCO+. Wang, Xiao, Li, Feng, Niu, Chen, Zhao. PiCO+: Contrastive Label Disambiguation for Robust Partial Label
Learning. IEEE TPAMI 2023 (arXiv 2201.08984).

PiCO, and after the warm-up the share 1 - eta of the images that lie closest to their prototypes is reliable. Prototypes
then move by reliable images alone, and the pseudo-label y of any other image is the best class of all:

    L = L_mix + reliable_weight * CE(c, p(x_w)) on reliable + unreliable_weight * CE(g, p(x_w)) on the rest + L_cont
    g = softmax(z . o / 0.07),    L_mix = CE(mix t, p(mix x_w)),  t = c where reliable, else g
    L_cont: a reliable image has the reliable entries of its pseudo-label as positives; any other its 16 nearest entries

eta, the share of sets that miss the truth, is estimated from the annotations unless it is given.

The closest of all images are taken, by the similarities of the last epoch. Decided here: the own key is always a
positive; a human label is always reliable. In the warm-up, the code's five epochs, training is PiCO's. The code's
second contrastive term over all images is left out. An image without candidates is left out.
"""

from collections.abc import Iterable
from functools import partial

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from zerolabel.annotations import Annotations, noise
from zerolabel.blocks import losses, mixup, targets
from zerolabel.blocks.contrastive import Contrast, Pairs
from zerolabel.blocks.memory import Prototypes
from zerolabel.learners.base import Batch, Epoch, Learner, Losses, Pass
from zerolabel.networks import Network
from zerolabel.options import Concentration, Count, Epochs, Neighbors, Share, Temperature, Weight


class PiCOPlus(Learner):
    """PiCO that trusts the candidate sets of the images near their prototypes only.

    Args:
        noise_rate: eta; none estimates it from the annotations.
        warm_up: epochs of plain PiCO.
        reliable_weight: of the cross-entropy on reliable images.
        unreliable_weight: of the one on the rest.
        guess_temperature: of the guess g.
        neighbors: positives of an unreliable image.
        mixup: parameter of the Beta distribution; 0 does not mix.
        contrast_weight: of the contrastive term.
        delay: epochs before prototypes and pseudo-labels are used.
        inertia: phi of PiCO at the start of the training.
        final_inertia: phi at the end.
        prototype_momentum: of the prototypes.
        temperature: of the contrastive similarities.
        embedding: dimension of z.
        queue: entries of the contrastive queue.
        ema_momentum: of the momentum copy.
    """

    views = ("weak", "strong")
    confidence: Float[Tensor, "N C"]
    closeness: Float[Tensor, " N"]
    pseudo: Int[Tensor, " N"]

    def __init__(
        self,
        network: Network,
        annotations: Annotations,
        *,
        noise_rate: Share | None = None,
        warm_up: Epochs = 5,
        reliable_weight: Weight = 2.0,
        unreliable_weight: Weight = 0.1,
        guess_temperature: Temperature = 0.07,
        neighbors: Neighbors = 16,
        mixup: Concentration = 4.0,
        contrast_weight: Weight = 1.0,
        delay: Epochs = 1,
        inertia: Share = 0.95,
        final_inertia: Share = 0.8,
        prototype_momentum: Share = 0.99,
        temperature: Temperature = 0.07,
        embedding: Count = 128,
        queue: Count = 8192,
        ema_momentum: Share = 0.999,
    ) -> None:
        super().__init__(network, annotations)
        self.noise_rate = noise.noise_rate(noise_rate, noise.candidate_noise, annotations)
        self.warm_up, self.delay, self.neighbors, self.mixup = warm_up, delay, neighbors, mixup
        self.reliable_weight, self.unreliable_weight = reliable_weight, unreliable_weight
        self.contrast_weight, self.temperature = contrast_weight, temperature
        self.guess_temperature, self.inertia, self.final_inertia = guess_temperature, inertia, final_inertia
        self.contrast = Contrast(network, embedding=embedding, queue=queue, momentum=ema_momentum)
        self.prototypes = Prototypes(len(annotations.classes), embedding, prototype_momentum)
        self.register_buffer("confidence", targets.uniform_over(annotations.candidates))
        self.register_buffer("closeness", torch.zeros(len(annotations)))
        self.register_buffer("pseudo", torch.full((len(annotations),), -1))

    def passes(self, epoch: Epoch) -> Iterable[Pass]:
        """One pass over the images that have candidates, with the reliable ones of the epoch before."""
        if epoch.number == 0:
            self.contrast.start(self.network)
        split = epoch.number >= max(self.warm_up, self.delay + 1)
        reliable = self.select() if split else self.candidates.any(1)
        self.figures = {"reliable": float(reliable.sum())}
        inertia = self.inertia + epoch.progress * (self.final_inertia - self.inertia)
        step = partial(self.training_step, inertia, epoch.number >= self.delay, split, reliable)
        yield Pass(step, (self.labeled,))

    def select(self) -> Bool[Tensor, " N"]:
        """The share 1 - eta that is closest to its prototype, and what a human labeled."""
        group = self.pseudo.clamp_max(0)
        count = group.new_tensor([int((1 - self.noise_rate) * int((group == 0).sum()))])
        return targets.smallest_per_class(-self.closeness, group, count) | (self.labels >= 0)

    def training_step(
        self, inertia: float, started: bool, split: bool, reliable: Bool[Tensor, " N"], batch: Batch
    ) -> Losses:
        """The confidence moves; then the losses of both kinds of images."""
        (weak, strong), index, candidates = batch.views, batch.index, self.candidates[batch.index]
        trusted, keys = reliable[index], self.contrast.keys(self.network, strong)
        features = self.network.features(weak)
        logits, z = self.network.head(features), self.contrast.embed(features)
        with torch.no_grad():
            similarity = self.prototypes.similarity(z)
            p = logits.float().softmax(1)
            inside = targets.restrict(p, candidates).argmax(1)
            pseudo = inside.where(trusted, p.argmax(1))
            if started:
                chosen = targets.strongest(similarity, candidates)
                self.confidence[index] = inertia * self.confidence[index] + (1 - inertia) * chosen
            self.pseudo[index] = inside
            self.closeness[index] = similarity.gather(1, inside[:, None]).squeeze(1)
            self.prototypes.update(z[trusted], pseudo[trusted], self.labels[index][trusted] >= 0)
        confidence = self.confidence[index]
        cosine = self.contrast.similarity(z, keys)
        pairs = self.positives(pseudo, trusted, cosine.detach()) if started else self.contrast.own_key(len(index))
        self.contrast.queue.push(keys, pseudo, trusted)
        contrast = self.contrast_weight * losses.supervised_contrastive(cosine / self.temperature, *pairs)
        if not split:
            return {"reliable": losses.cross_entropy(logits, confidence), "contrast": contrast}
        target = confidence.where(trusted[:, None], (similarity / self.guess_temperature).softmax(1))
        mix = mixup.draw(len(index), self.mixup, weak.device)
        return {
            "mixup": losses.cross_entropy(self.network(mix(weak)), mix(target)),
            "reliable": self.reliable_weight * losses.cross_entropy(logits[trusted], target[trusted]),
            "unreliable": self.unreliable_weight * losses.cross_entropy(logits[~trusted], target[~trusted]),
            "contrast": contrast,
        }

    def positives(self, pseudo: Int[Tensor, " B"], trusted: Bool[Tensor, " B"], cosine: Float[Tensor, "B M"]) -> Pairs:
        """Entries of the same pseudo-label for reliable images, the nearest ones for others; and the ignored."""
        same, ignored = self.contrast.same_label(pseudo)
        near = torch.zeros_like(same)
        order = cosine.masked_fill(ignored, -torch.inf).topk(min(self.neighbors, cosine.shape[1]), dim=1).indices
        near = near.scatter_(1, order, True) & ~ignored
        both = same & torch.cat([trusted, trusted, self.contrast.queue.clean])
        return both.where(trusted[:, None], near) | self.contrast.own_key(len(pseudo))[0], ignored
