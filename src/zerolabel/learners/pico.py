"""PiCO. Wang, Xiao, Li, Feng, Niu, Chen, Zhao. PiCO: Contrastive Label Disambiguation for Partial Label Learning.
ICLR 2022 (arXiv 2201.08984).

    L = CE(c, p(x_w)) + contrast_weight * L_cont
    c <- phi c + (1 - phi) onehot(argmax_{j in S} z . o_j),  before the loss, from epoch `delay` on
    o_y <- l2(m o_y + (1 - m) z),  y = argmax_{j in S} p_j(x_w)
    L_cont: supervised contrast, positives are the entries of the same y; before epoch `delay` the own key alone (MoCo)

z embeds the weak view, keys are a strong view through a momentum copy. phi falls linearly over the training. Prototypes
are brought to length 1 once a batch, and the scores use those of the batches before.

Against the authors' code (commit ad687bb): steps with pseudo-labels and with own keys are exact. It differs in `delay`;
in phi, which the code takes from the epoch before, 0.99 in the first; and in places of the queue that were never
written, which hold random vectors there and are left out here. An image without candidates is left out; a set of one
has a constant target.
"""

from collections.abc import Iterable
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from zerolabel.annotations import Annotations
from zerolabel.blocks import losses, targets
from zerolabel.blocks.contrastive import Contrast
from zerolabel.blocks.memory import Prototypes
from zerolabel.learners.base import Batch, Epoch, Learner, Losses, Pass
from zerolabel.networks import Network
from zerolabel.options import Count, Epochs, Share, Temperature, Weight


class PiCO(Learner):
    """Prototypes of contrastive embeddings choose among the candidates.

    Args:
        contrast_weight: of the contrastive term.
        delay: epochs before prototypes and pseudo-labels are used.
        inertia: phi at the start of the training.
        final_inertia: phi at the end.
        prototype_momentum: m.
        temperature: of the contrastive similarities.
        embedding: dimension of z.
        queue: entries of the contrastive queue.
        ema_momentum: of the momentum copy.
    """

    views = ("weak", "strong")
    confidence: Float[Tensor, "N C"]

    def __init__(
        self,
        network: Network,
        annotations: Annotations,
        *,
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
        yield Pass(partial(self.training_step, inertia, epoch.number >= self.delay), (self.labeled,))

    def training_step(self, inertia: float, started: bool, batch: Batch) -> Losses:
        """Cross-entropy with the confidence, and contrast with the queue."""
        (weak, strong), index, candidates = batch.views, batch.index, self.candidates[batch.index]
        keys = self.contrast.keys(self.network, strong)
        features = self.network.features(weak)
        logits, z = self.network.head(features), self.contrast.embed(features)
        with torch.no_grad():
            pseudo = targets.restrict(logits.float().softmax(1), candidates).argmax(1)
            if started:
                chosen = targets.strongest(self.prototypes.similarity(z), candidates)
                self.confidence[index] = inertia * self.confidence[index] + (1 - inertia) * chosen
            self.prototypes.update(z, pseudo, self.labels[index] >= 0)
        positive, ignored = self.contrast.same_label(pseudo) if started else self.contrast.own_key(len(index))
        similarity = self.contrast.similarity(z, keys) / self.temperature
        self.contrast.queue.push(keys, pseudo, torch.ones_like(pseudo, dtype=torch.bool))
        return {
            "weighted": losses.cross_entropy(logits, self.confidence[index]),
            "contrast": self.contrast_weight * losses.supervised_contrastive(similarity, positive, ignored),
        }
