"""IRNet. Lian, Xu, Chen, Sun, Liu, Feng, Tao. IRNet: Iterative Refinement Network for Noisy Partial Label Learning.
IEEE TPAMI 2025 (arXiv 2211.04774).

PiCO, whose candidate sets grow once the warm-up is over: with r = softmax(z . o) in two weak views of an image, where

    max_{j not in S} r_j > max_{j in S} r_j + threshold,  and the first maximum is the same class k, in both views,

k joins S after the step, c_k becomes r_k of the first view and c is brought to sum 1; with `replace` the candidate of
least r in the first view leaves S, and its c is 0. r has no temperature.

Against the authors' code (commit 26728ee): confidence, correction and what follows from it are exact; the second view
is compared with the prototypes after the step's update, as there. The code starts the correction when the accuracy on
test images says so. That is not done here: it starts after a share of the training, which is ours. phi is one
epoch ahead here, and the code's second view moves statistics of batch normalization. The cross-entropy is the plain
one, where the code offers a symmetric one as well. A human label is never corrected. An image without candidates
is left out.
"""

from collections.abc import Iterable
from functools import partial
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from zerolabel.annotations import Annotations
from zerolabel.blocks import losses, targets
from zerolabel.blocks.contrastive import Contrast
from zerolabel.blocks.memory import Prototypes
from zerolabel.learners.base import Batch, Epoch, Learner, Losses, Pass
from zerolabel.networks import Network
from zerolabel.options import Count, Epochs, Range, Share, Temperature, Weight


class IRNet(Learner):
    """A class that beats every candidate in both views joins the set.

    Args:
        warm_up_share: share of the training before the first correction.
        threshold: by how much it must beat the best candidate.
        replace: whether the weakest candidate leaves the set for it.
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

    views = ("weak", "strong", "weak")
    confidence: Float[Tensor, "N C"]

    def __init__(
        self,
        network: Network,
        annotations: Annotations,
        *,
        warm_up_share: Share = 0.08,
        threshold: Annotated[float, Range(-1, 1)] = 0.008,
        replace: bool = False,
        contrast_weight: Weight = 0.5,
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
        self.warm_up_share, self.threshold, self.replace = warm_up_share, threshold, replace
        self.contrast_weight, self.delay, self.temperature = contrast_weight, delay, temperature
        self.inertia, self.final_inertia = inertia, final_inertia
        self.contrast = Contrast(network, embedding=embedding, queue=queue, momentum=ema_momentum)
        self.prototypes = Prototypes(len(annotations.classes), embedding, prototype_momentum)
        self.register_buffer("confidence", targets.uniform_over(annotations.candidates))

    def passes(self, epoch: Epoch) -> Iterable[Pass]:
        """One pass over the images that have candidates."""
        if epoch.number == 0:
            self.contrast.start(self.network)
        inertia = self.inertia + epoch.progress * (self.final_inertia - self.inertia)
        self.figures = {"mean_candidates": float(losses.mean(self.candidates[self.labeled].sum(1).float()))}
        started = epoch.number >= self.delay
        corrects = started and epoch.progress >= self.warm_up_share
        yield Pass(partial(self.training_step, inertia, started, corrects), (self.labeled,))

    def training_step(self, inertia: float, started: bool, corrects: bool, batch: Batch) -> Losses:
        """The step of PiCO; then, for later steps, the correction."""
        (weak, strong, other), index = batch.views, batch.index
        keys = self.contrast.keys(self.network, strong)
        features = self.network.features(weak)
        logits, z = self.network.head(features), self.contrast.embed(features)
        with torch.no_grad():
            near, candidates = self.prototypes.similarity(z), self.candidates[index]
            pseudo = targets.restrict(logits.float().softmax(1), candidates).argmax(1)
            if started:
                chosen = targets.strongest(near, candidates)
                self.confidence[index] = inertia * self.confidence[index] + (1 - inertia) * chosen
            self.prototypes.update(z, pseudo, self.labels[index] >= 0)
        confidence = self.confidence[index]
        if corrects:
            again = self.prototypes.similarity(self.contrast.look(self.network, other))
            self.correct(index, torch.stack([near, again]).softmax(2))
        positive, ignored = self.contrast.same_label(pseudo) if started else self.contrast.own_key(len(index))
        similarity = self.contrast.similarity(z, keys) / self.temperature
        self.contrast.queue.push(keys, pseudo, torch.ones_like(pseudo, dtype=torch.bool))
        return {
            "weighted": losses.cross_entropy(logits, confidence),
            "contrast": self.contrast_weight * losses.supervised_contrastive(similarity, positive, ignored),
        }

    @torch.no_grad()
    def correct(self, index: Tensor, r: Float[Tensor, "V B C"]) -> None:
        """Let classes into the sets of some images, and into their confidence."""
        candidates, confidence = self.candidates[index], self.confidence[index]
        outside, best = r.masked_fill(candidates, 0).max(2)
        wins = (outside > r.masked_fill(~candidates, 0).amax(2) + self.threshold).all(0)
        wins &= (best == best[0]).all(0) & (self.labels[index] < 0) & ~candidates.all(1)
        joined = targets.one_hot(best[0].where(wins, -1), candidates.shape[1]).bool()
        confidence = torch.where(joined, r[0].to(confidence.dtype), confidence)
        if self.replace:
            weakest = r[0].masked_fill(~candidates, 2).argmin(1)
            left = targets.one_hot(weakest.where(wins, -1), candidates.shape[1]).bool()
            candidates, confidence = candidates & ~left, confidence.masked_fill(left, 0)
        self.candidates[index] = candidates | joined
        self.confidence[index] = torch.where(wins[:, None], targets.normalize(confidence), confidence)
