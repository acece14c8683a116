"""PiCO+. Wang, Xiao, Li, Feng, Niu, Chen, Zhao. PiCO+: Contrastive Label Disambiguation for Robust Partial Label
Learning. IEEE TPAMI 2023 (arXiv 2201.08984).

In the warm-up training is PiCO's before its prototypes, from the uniform c. After it the share 1 - eta of the images
that lie closest to their prototypes, by the similarities of the last epoch, is reliable. Prototypes then move by
reliable images alone, and the pseudo-label y of any other image is the best class of all:

    L = L_mix + reliable_weight CE(c, p(x_w)) on reliable + unreliable_weight CE(g, p(x_w)) on the rest
        + L_cont + unreliable_weight L_all
    c <- phi c + (1 - phi) onehot(argmax_{j in S} z . o_j),  before the loss,  of all images
    g = softmax(z . o / 0.07),    L_mix = CE(mix t, p(mix x_w)),  t = c where reliable, else g
    L_cont: contrast whose positives are the own key and, of a reliable image, the reliable entries of its pseudo-label
    L_all:  contrast whose positives are all entries of the pseudo-label

Later the nearest entries are positives of images that are not reliable, and in L_cont a reliable image has the weight
`contrast_weight` and any other `unreliable_weight`, where all had 1.

eta, the share of sets that miss the truth, is estimated from the annotations unless it is given. Ours: a human label is
always reliable; an image without candidates is left out.

Against the authors' code (hbzju/PiCO @ b7b2e21): exact, terms, choices and positives (test_pico_plus). It differs in
phi and in places of the queue that were never written, as `pico`, and in when neighbors join: a share of the training.
"""

from collections.abc import Iterable
from dataclasses import dataclass
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
        warm_up: epochs before prototypes and pseudo-labels are used and images are divided.
        reliable_weight: of the cross-entropy on reliable images.
        unreliable_weight: of the one on the rest, of their contrast and of that of all pseudo-labels.
        guess_temperature: of the guess g.
        neighbors: nearest entries, the image itself among them, that are positives where an image is not reliable.
        neighbors_share: share of the training after which they are.
        mixup: parameter of the Beta distribution; 0 does not mix.
        contrast_weight: of the contrast in the warm-up, and of reliable images once neighbors are positives.
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
        neighbors_share: Share = 0.125,
        mixup: Concentration = 4.0,
        contrast_weight: Weight = 0.5,
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
        self.warm_up, self.mixup = warm_up, mixup
        self.neighbors, self.neighbors_share = neighbors, neighbors_share
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
        split = epoch.number >= max(self.warm_up, 1)
        reliable = self.select() if split else self.candidates.any(1)
        self.figures = {"reliable": float(reliable.sum())}
        inertia = self.inertia + epoch.progress * (self.final_inertia - self.inertia)
        joined = epoch.progress >= self.neighbors_share
        step = partial(self.divided_step, inertia, joined, reliable) if split else self.warm_up_step
        yield Pass(step, (self.labeled,))

    def select(self) -> Bool[Tensor, " N"]:
        """The share 1 - eta that is closest to its prototype, and what a human labeled."""
        group = self.pseudo.clamp_max(0)
        count = group.new_tensor([int((1 - self.noise_rate) * int((group == 0).sum()))])
        return targets.smallest_per_class(-self.closeness, group, count) | (self.labels >= 0)

    def warm_up_step(self, batch: Batch) -> Losses:
        """Cross-entropy with the uniform confidence, and contrast with the own key."""
        everyone = torch.ones_like(batch.index, dtype=torch.bool)
        seen = self.look(batch, everyone)
        similarity = seen.cosine / self.temperature
        contrast = losses.supervised_contrastive(similarity, *self.contrast.own_key(len(batch.index)))
        self.contrast.queue.push(seen.keys, seen.pseudo, everyone)
        return {
            "reliable": losses.cross_entropy(seen.logits, self.confidence[batch.index]),
            "contrast": self.contrast_weight * contrast,
        }

    def divided_step(self, inertia: float, joined: bool, reliable: Bool[Tensor, " N"], batch: Batch) -> Losses:
        """The confidence moves; then the losses of both kinds of images."""
        index, trusted, weak = batch.index, reliable[batch.index], batch.views[0]
        seen = self.look(batch, trusted)
        chosen = targets.strongest(seen.similarity, self.candidates[index])
        self.confidence[index] = inertia * self.confidence[index] + (1 - inertia) * chosen
        target = self.confidence[index].where(trusted[:, None], (seen.similarity / self.guess_temperature).softmax(1))
        contrast, everything = self.contrasts(seen, trusted, joined)
        self.contrast.queue.push(seen.keys, seen.pseudo, trusted)
        mix, own = mixup.draw(len(index), self.mixup, weak.device), seen.logits
        return {
            "mixup": losses.cross_entropy(self.network(mix(weak)), mix(target)),
            "reliable": self.reliable_weight * losses.cross_entropy(own[trusted], target[trusted]),
            "unreliable": self.unreliable_weight * losses.cross_entropy(own[~trusted], target[~trusted]),
            "contrast": contrast,
            "contrast_all": self.unreliable_weight * everything,
        }

    def look(self, batch: Batch, trusted: Bool[Tensor, " B"]) -> "Seen":
        """Pass both views; the prototypes then move, and where the images lie is remembered."""
        (weak, strong), index = batch.views, batch.index
        keys = self.contrast.keys(self.network, strong)
        features = self.network.features(weak)
        logits, z = self.network.head(features), self.contrast.embed(features)
        with torch.no_grad():
            similarity, p = self.prototypes.similarity(z), logits.float().softmax(1)
            inside = targets.restrict(p, self.candidates[index]).argmax(1)
            pseudo = inside.where(trusted, p.argmax(1))
            self.pseudo[index] = inside
            self.closeness[index] = similarity.gather(1, inside[:, None]).squeeze(1)
            self.prototypes.update(z[trusted], pseudo[trusted], self.labels[index][trusted] >= 0)
        return Seen(keys, logits, similarity, pseudo, self.contrast.similarity(z, keys))

    def contrasts(self, seen: "Seen", trusted: Bool[Tensor, " B"], joined: bool) -> tuple[Tensor, Tensor]:
        """L_cont and L_all."""
        similarity = seen.cosine / self.temperature
        positive, ignored = self.positives(seen.pseudo, trusted, seen.cosine.detach(), joined)
        weight = positive / positive.sum(1, keepdim=True)
        if joined:
            weight = weight * torch.where(trusted, self.contrast_weight, self.unreliable_weight)[:, None]
        same, _ = self.contrast.same_label(seen.pseudo)
        return (
            losses.weighted_contrastive(similarity, weight, ignored),
            losses.supervised_contrastive(similarity, same, ignored),
        )

    def positives(
        self, pseudo: Int[Tensor, " B"], trusted: Bool[Tensor, " B"], cosine: Float[Tensor, "B M"], joined: bool
    ) -> Pairs:
        """Own keys; reliable entries of the pseudo-label of reliable images; of others the nearest; the ignored."""
        same, ignored = self.contrast.same_label(pseudo)
        own, _ = self.contrast.own_key(len(pseudo))
        near = torch.zeros_like(same)
        if joined:
            empty = torch.cat([torch.zeros_like(pseudo), torch.zeros_like(pseudo), self.contrast.queue.labels]) < 0
            order = cosine.masked_fill(empty, -torch.inf).topk(min(self.neighbors, cosine.shape[1]), dim=1).indices
            near = near.scatter_(1, order, True) & ~ignored
        both = same & torch.cat([trusted, trusted, self.contrast.queue.clean])
        return both.where(trusted[:, None], near) | own, ignored


@dataclass(frozen=True)
class Seen:
    """A batch through the network.

    Attributes:
        keys: of the strong view, by the momentum copy.
        logits: of the weak view.
        similarity: of its embedding and the prototypes before they moved.
        pseudo: y.
        cosine: of the embedding and the contrast set.
    """

    keys: Float[Tensor, "B D"]
    logits: Float[Tensor, "B C"]
    similarity: Float[Tensor, "B C"]
    pseudo: Int[Tensor, " B"]
    cosine: Float[Tensor, "B M"]
