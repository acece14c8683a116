"""DivideMix. Li, Socher, Hoi. DivideMix: Learning with Noisy Labels as Semi-supervised Learning. ICLR 2020
(arXiv 2002.07394).

After a warm-up, each epoch divides the images by a mixture on the cross-entropy of the given label y; a network
learns from the division of its peer, as in MixMatch:

    t = sharpen(w y + (1 - w) mean_k p_own(x_k), T)               labeled split, w > threshold
    t = sharpen(mean_k (p_own(x_k) + p_peer(x_k)) / 2, T)         the rest, which loses its labels
    L = CE(t, p(x)) + lambda_u(e) sum_j (p_j(x) - t_j)^2 / C + KL(prior || mean p(x))      on MixUp of all views
    lambda_u(e) = lambda_u min(e / ramp, 1)

e is the number of epochs since the warm-up, with the share of the pass that is done. While it labels, the own network
is in training mode and sees each view of each split in a forward pass of its own, so that batch statistics never mix
the splits; its peer is in evaluation mode.

The squared error is a mean over images and classes, as in the authors' code; the paper prints a sum over classes.
Decided here: the warm-up has the negative entropy that the paper adds for asymmetric noise, since that of annotators
is. A human label is always in the labeled split, as a one-hot target.

Against the authors' code (LiJunnan1992/DivideMix @ d9d3058): exact; steps with MixUp, batch normalization and the ramp
(golden file dividemix).
"""

from collections.abc import Iterable
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from zerolabel.annotations import Annotations
from zerolabel.blocks import losses, mixup, targets
from zerolabel.blocks.memory import LossHistory
from zerolabel.learners.base import Batch, Epoch, Learner, Losses, Pass
from zerolabel.networks import Network, mean_probabilities, twin
from zerolabel.options import Concentration, Count, Epochs, Prior, Share, Temperature, Weight


class DivideMix(Learner):
    """Two networks divide the images for each other into clean labels and none.

    Args:
        warm_up: epochs on the given labels; the paper's 10 for CIFAR-10 and 30 for CIFAR-100.
        entropy_weight: of the negative entropy in warm-up; the paper's 1 for asymmetric noise, 0 for symmetric.
        history: epochs over which the division loss is averaged; the code's 5 at 90% noise.
        threshold: posterior above which a label is clean.
        temperature: T of the sharpening.
        mixup: parameter of the Beta distribution; 0 does not mix.
        unlabeled_weight: final lambda_u, of the squared error's mean over classes; the paper's 0 to 150 by the noise.
        ramp: epochs after warm-up over which lambda_u rises linearly from 0, step by step; 0 has it at once.
        penalty: weight of the divergence of the mean prediction from the prior.
        prior: "uniform", as the paper assumes, "estimated", or one weight per class.
    """

    views = ("weak", "weak")
    target: Float[Tensor, "N C"]
    prior: Float[Tensor, " C"]

    def __init__(
        self,
        network: Network,
        annotations: Annotations,
        *,
        warm_up: Epochs = 10,
        entropy_weight: Weight = 1.0,
        history: Count = 1,
        threshold: Share = 0.5,
        temperature: Temperature = 0.5,
        mixup: Concentration = 4.0,
        unlabeled_weight: Weight = 25.0,
        ramp: Epochs = 16,
        penalty: Weight = 1.0,
        prior: Prior = "uniform",
    ) -> None:
        super().__init__(network, annotations)
        self.warm_up, self.entropy_weight, self.ramp, self.penalty = warm_up, entropy_weight, ramp, penalty
        self.threshold, self.temperature, self.mixup = threshold, temperature, mixup
        self.unlabeled_weight = unlabeled_weight / len(annotations.classes)
        self.peer = twin(network)
        self.history, self.peer_history = (LossHistory(len(annotations), history) for _ in range(2))
        chosen = targets.initial_labels(self.scores, self.candidates, self.labels)
        self.register_buffer("target", targets.one_hot(chosen, len(annotations.classes)))
        self.register_buffer("prior", targets.class_prior(self.scores, prior))

    @property
    def networks(self) -> tuple[Network, ...]:
        """Both networks."""
        return (self.network, self.peer)

    def passes(self, epoch: Epoch) -> Iterable[Pass]:
        """Warm-up of each network alone; then division, exchange and a pass for each."""
        a, b = self.networks
        since = epoch.number - self.warm_up
        if since < 0:
            for network in (a, b):
                yield Pass(partial(self.warm_up_step, network), (self.labeled,), views=("weak",))
            return
        w_a, w_b = self.divide(epoch.predict(a), self.history), self.divide(epoch.predict(b), self.peer_history)
        self.figures = {"clean_a": float((w_a > self.threshold).sum()), "clean_b": float((w_b > self.threshold).sum())}
        weight = targets.ramped(self.unlabeled_weight, since, self.ramp)
        for own, peer, w in ((a, b, w_b), (b, a, w_a)):
            step = partial(self.co_step, own, peer, w, weight)
            yield Pass(step, targets.groups(w > self.threshold, self.labels >= 0))

    def warm_up_step(self, network: Network, batch: Batch) -> Losses:
        """Cross-entropy with the given label, and the negative entropy."""
        logits = network(batch.views[0])
        return {
            "warm_up": losses.cross_entropy(logits, self.target[batch.index]),
            "entropy": self.entropy_weight * losses.negative_entropy(logits),
        }

    def divide(self, p: Float[Tensor, "N C"], history: LossHistory) -> Float[Tensor, " N"]:
        """Posterior that the given label is clean."""
        rows = self.labeled
        loss = -(p * self.target).sum(1).clamp_min(targets.TINY).log()
        low, high = loss[rows].aminmax() if len(rows) else (loss.min(), loss.max())
        mean_loss = history.push((loss - low) / (high - low).clamp_min(targets.TINY))
        posterior = torch.zeros_like(mean_loss)
        posterior[rows] = targets.split_clean(mean_loss[rows])
        return torch.where(self.labels >= 0, 1.0, posterior)

    def co_step(
        self, own: Network, peer: Network, w: Float[Tensor, " N"], weight: float, trusted: Batch, rest: Batch
    ) -> Losses:
        """One step of one network with the division of its peer.

        Args:
            own: the network that learns.
            peer: labels the rest beside it.
            w: posterior of the given labels, by the peer.
            weight: lambda_u over C at the start of the pass.
            trusted: labeled images.
            rest: the others.
        """
        n, index = len(trusted.index), torch.cat([trusted.index, rest.index])
        own.train(), peer.eval()
        target = self.guess(own, peer, w, trusted, rest)
        clean = (torch.arange(len(index), device=index.device) < n) | (self.labels[index] >= 0)
        views = [torch.cat(pair) for pair in zip(trusted.views, rest.views, strict=True)]
        clean = clean.repeat(len(views))
        mix = mixup.draw(len(clean), self.mixup, index.device)
        logits, mixed = own(mix(torch.cat(views))).float(), mix(target.repeat(len(views), 1))
        risen = weight + targets.ramped(self.unlabeled_weight, trusted.progress, self.ramp)
        return {
            "labeled": losses.cross_entropy(logits[clean], mixed[clean]),
            "unlabeled": min(risen, self.unlabeled_weight)
            * losses.squared_error(logits[~clean].softmax(1), mixed[~clean]),
            "penalty": self.penalty * losses.prior_divergence(logits, self.prior),
        }

    @torch.no_grad()
    def guess(
        self, own: Network, peer: Network, w: Float[Tensor, " N"], trusted: Batch, rest: Batch
    ) -> Float[Tensor, "B C"]:
        """The targets of the labeled images, then those of the rest."""
        shared = (mean_probabilities(own, rest.views) + mean_probabilities(peer, rest.views)) / 2
        trust, given = w[trusted.index, None], self.target[trusted.index]
        refined = trust * given + (1 - trust) * mean_probabilities(own, trusted.views)
        index = torch.cat([trusted.index, rest.index])
        target = targets.sharpen(torch.cat([refined, shared]), self.temperature)
        return target.where(self.labels[index, None] < 0, self.target[index])
