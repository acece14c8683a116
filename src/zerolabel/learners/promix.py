"""ProMix. Xiao, Dong, Wang, Feng, Wu, Chen, Zhao. ProMix: Combating Label Noise via Maximizing Clean Sample
Utility. IJCAI 2023 (arXiv 2207.10276).

Each network chooses the images whose given label y its peer may learn from: of each class the share rho with the
smallest cross-entropy, rho rising; those with p_y above a threshold; late, also those where both networks are sure
of one class, which becomes their label. On the chosen images the primary head h learns

    CE(mixup t, h(mixup x_w)) + CE(fmix t, h(fmix x_w)) + CE(t, h(x_s))

The rest is learned by a second head g alone, so that wrong pseudo-labels do not reach the head that makes them:

    q = sharpen(mean of both networks' softmax(h(x_w) - alpha log pi), T),    CE(q, g(x_s) + alpha log pi)
    pi <- m pi + (1 - m) mean softmax(h(x_w))

What was known to us of the paper is the list of these parts. Ours are: that the networks exchange their selections;
rho rising linearly over a share of the training; q as above, soft, with the margin alpha log pi in its loss; weight 1
for each term; the values of T, alpha, m, and when the agreement begins. g starts at zero and is not deployed. A
person's label is always chosen and never corrected; an image without a vote is in the rest until both are sure.
"""

from collections.abc import Iterable
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from zerolabel.annotations import Annotations
from zerolabel.blocks import losses, mixup, targets
from zerolabel.learners.base import Batch, Epoch, Learner, Losses, Pass
from zerolabel.networks import Network, twin


class Side(nn.Module):
    """What one of the two networks has besides: its second head, and its running class mean."""

    mean: Float[Tensor, " C"]

    def __init__(self, width: int, n_classes: int) -> None:
        super().__init__()
        self.head = nn.Linear(width, n_classes)
        nn.init.zeros_(self.head.weight), nn.init.zeros_(self.head.bias)
        self.register_buffer("mean", torch.full((n_classes,), 1 / n_classes))

    @property
    def log_mean(self) -> Float[Tensor, " C"]:
        """``log pi``, finite for a class that is never predicted too."""
        return self.mean.clamp_min(targets.TINY).log()


class ProMix(Learner):
    """As many labels as can be believed, and a head of its own for the rest.

    Args:
        warm_up: epochs on the given labels.
        share: rho at first.
        final_share: rho at last.
        ramp: share of the training over which rho rises.
        confidence: probability above which a label is believed, or a prediction sure.
        late: share of the training after which images that both networks are sure of are corrected.
        temperature: T of the sharpening.
        debias: alpha, how much of the running class mean is taken off; 0 does not.
        memory: m, of the running class mean.
        mixup: parameter of the Beta distribution of MixUp; 0 does not mix.
        fmix: parameter of the Beta distribution of FMix.
        unlabelled_weight: of the second head's loss.
    """

    views = ("weak", "strong")
    given: Int[Tensor, " N"]

    def __init__(
        self,
        network: Network,
        annotations: Annotations,
        *,
        warm_up: int = 10,
        share: float = 0.2,
        final_share: float = 0.6,
        ramp: float = 0.5,
        confidence: float = 0.99,
        late: float = 0.5,
        temperature: float = 0.5,
        debias: float = 0.8,
        memory: float = 0.99,
        mixup: float = 4.0,
        fmix: float = 1.0,
        unlabelled_weight: float = 1.0,
    ) -> None:
        super().__init__(network, annotations)
        self.warm_up, self.share, self.final_share, self.ramp = warm_up, share, final_share, ramp
        self.confidence, self.late, self.temperature = confidence, late, temperature
        self.debias, self.memory, self.mixup, self.fmix = debias, memory, mixup, fmix
        self.unlabelled_weight = unlabelled_weight
        self.peer = twin(network)
        n_classes = len(annotations.classes)
        self.side, self.peer_side = (Side(network.feature_dim, n_classes) for _ in range(2))
        self.register_buffer("given", targets.given(self.scores, self.candidates, self.labels))

    @property
    def networks(self) -> tuple[Network, ...]:
        """Both networks."""
        return (self.network, self.peer)

    def passes(self, epoch: Epoch) -> Iterable[Pass]:
        """Warm-up of each network alone; then selection, exchange and a pass for each."""
        a, b = (self.network, self.side), (self.peer, self.peer_side)
        if epoch.number < self.warm_up:
            for network in self.networks:
                yield Pass(partial(self.warm_up_step, network), (self.labelled,), views=("weak",))
            return
        p_a, p_b = (epoch.predict(network) for network in self.networks)
        rise = min(epoch.progress / self.ramp, 1.0) if self.ramp else 1.0
        rho = self.share + (self.final_share - self.share) * rise
        agreed = self.agreed(p_a, p_b) if epoch.progress >= self.late else torch.full_like(self.given, -1)
        by_a, by_b = self.select(p_a, rho, agreed), self.select(p_b, rho, agreed)
        self.figures = {
            "chosen_a": float((by_a >= 0).sum()),
            "chosen_b": float((by_b >= 0).sum()),
            "agreed": float((agreed >= 0).sum()),
        }
        for own, other, chosen in ((a, b, by_b), (b, a, by_a)):
            yield Pass(partial(self.co_step, own, other, chosen), targets.groups(chosen >= 0, self.labels >= 0))

    def warm_up_step(self, network: Network, batch: Batch) -> Losses:
        """Cross-entropy with the given label."""
        logits = network(batch.views[0])
        return {"warm_up": losses.cross_entropy(logits, targets.one_hot(self.given[batch.index], logits.shape[1]))}

    def select(self, p: Float[Tensor, "N C"], rho: float, agreed: Int[Tensor, " N"]) -> Int[Tensor, " N"]:
        """The label that each image is learned with; -1 where it is not chosen."""
        known = p.gather(1, self.given.clamp_min(0)[:, None]).squeeze(1)
        sizes = torch.bincount(self.given + 1, minlength=p.shape[1] + 1)[1:]
        chosen = targets.smallest_per_class(-known, self.given, (rho * sizes - 1e-6).ceil().long())
        chosen |= (self.given >= 0) & (known > self.confidence)
        label = agreed.where(agreed >= 0, self.given.where(chosen, -1))
        return self.labels.where(self.labels >= 0, label)

    def agreed(self, p_a: Float[Tensor, "N C"], p_b: Float[Tensor, "N C"]) -> Int[Tensor, " N"]:
        """The class that both networks are sure of; -1 where they are not."""
        (sure_a, a), (sure_b, b) = p_a.max(1), p_b.max(1)
        return a.where((a == b) & (sure_a > self.confidence) & (sure_b > self.confidence), -1)

    def co_step(
        self,
        own: tuple[Network, Side],
        other: tuple[Network, Side],
        chosen: Int[Tensor, " N"],
        trusted: Batch,
        rest: Batch,
    ) -> Losses:
        """One step of one network with the selection of its peer."""
        (network, side), (peer, _) = own, other
        network.train(), peer.eval()
        n_classes, n, (weak, strong) = self.candidates.shape[1], len(trusted.index), trusted.views
        guesses = self.guess(own, other, rest)
        target = targets.one_hot(chosen[trusted.index], n_classes)
        mix, patch = mixup.draw(n, self.mixup, weak.device), mixup.draw_mask(weak, self.fmix)
        features = network.features(torch.cat([mix(weak), patch(weak), strong, rest.views[1]]))
        mixed, patched, plain = network.head(features[: 3 * n]).float().unflatten(0, (3, n)).unbind()
        margin = self.debias * side.log_mean
        return {
            "mixup": losses.cross_entropy(mixed, mix(target)),
            "fmix": losses.cross_entropy(patched, patch.targets(target)),
            "strong": losses.cross_entropy(plain, target),
            "pseudo": self.unlabelled_weight
            * losses.cross_entropy(side.head(features[3 * n :]).float() + margin, guesses),
        }

    @torch.no_grad()
    def guess(self, own: tuple[Network, Side], other: tuple[Network, Side], rest: Batch) -> Float[Tensor, "U C"]:
        """Pseudo-labels of the images that were not chosen; moves the running mean of the network that learns."""
        weak, side = rest.views[0], own[1]
        p = []
        for network, its in (own, other):
            logits = network(weak).float()
            p.append((logits - self.debias * its.log_mean).softmax(1))
            if its is side and len(weak):
                side.mean.mul_(self.memory).add_((1 - self.memory) * logits.softmax(1).mean(0))
        guess = targets.sharpen((p[0] + p[1]) / 2, self.temperature)
        human = self.labels[rest.index]
        return guess.where(human[:, None] < 0, targets.one_hot(human, guess.shape[1]))
