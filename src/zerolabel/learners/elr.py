"""ELR. Liu, Niles-Weed, Razavian, Fernandez-Granda. Early-Learning Regularization Prevents Memorization of Noisy
Labels. NeurIPS 2020 (arXiv 2007.00151).

    L = CE(y, p(x)) + lambda log(1 - <t, p(x)>)
    t <- beta t + (1 - beta) norm(p(x))          one row per image, at every visit, before the loss

What the network believed early, before it learned wrong labels by memorizing, keeps it from doing so later. As in the
authors' code p is kept between 1e-4 and 1 - 1e-4. Ours: t of an image labeled by a human is that label and
never moves; an image without a vote is left out.

Against the authors' code (shengliu66/ELR @ 934af53): exact (golden file elr).
"""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from zerolabel.annotations import Annotations
from zerolabel.blocks import losses, targets
from zerolabel.learners.base import Batch, Epoch, Learner, Losses, Pass, View
from zerolabel.networks import Network
from zerolabel.options import Share, Weight


class ELR(Learner):
    """Cross-entropy, and a pull toward the running mean of the network's own predictions.

    Args:
        memory: beta, of the running mean; the paper's is 0.7 for symmetric noise on CIFAR-10, else 0.9.
        weight: lambda; the paper's is 3 for symmetric and 1 for asymmetric noise on CIFAR-10, 7 for CIFAR-100.
        view: that is learned from; the paper's is "weak", the default is that of the cross-entropy baseline.
    """

    target: Float[Tensor, "N C"]
    running: Float[Tensor, "N C"]

    def __init__(
        self,
        network: Network,
        annotations: Annotations,
        *,
        memory: Share = 0.7,
        weight: Weight = 3.0,
        view: View = "strong",
    ) -> None:
        super().__init__(network, annotations)
        self.memory, self.weight, self.views = memory, weight, (view,)
        n_classes = len(annotations.classes)
        chosen = targets.initial_labels(self.scores, self.candidates, self.labels)
        self.register_buffer("target", targets.one_hot(chosen, n_classes))
        self.register_buffer("running", targets.one_hot(self.labels, n_classes))

    def passes(self, epoch: Epoch) -> Iterable[Pass]:
        """One pass over the labeled images."""
        yield Pass(self.training_step, (self.labeled,))

    def training_step(self, batch: Batch) -> Losses:
        """Move the running predictions, then both terms."""
        logits = self.network(batch.views[0]).float()
        running = self.follow(batch.index, logits.detach().softmax(1))
        return {
            "supervised": losses.cross_entropy(logits, self.target[batch.index]),
            "early": self.weight * losses.early_learning(logits, running),
        }

    def follow(self, index: Tensor, p: Float[Tensor, "B C"]) -> Float[Tensor, "B C"]:
        """The running predictions of some images after this visit."""
        moved = self.memory * self.running[index] + (1 - self.memory) * targets.normalize(p.clamp(1e-4, 1 - 1e-4))
        with torch.no_grad():
            self.running[index] = self.running[index].where(self.labels[index, None] >= 0, moved)
        return self.running[index]
