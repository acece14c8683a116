"""ProMix. Xiao, Dong, Wang, Feng, Wu, Chen, Zhao. ProMix: Combating Label Noise via Maximizing Clean Sample
Utility. IJCAI 2023 (arXiv 2207.10276).

Two networks learn side by side from the same batches. For each of them an image is reliable where the network, before
the epoch, put it among the ceil(rho N / C) images of its class with the smallest cross-entropy; or where its
probability of the given label y is above a threshold in this step; or, late in the training, where both networks are
confident in one class, up to 0.9 of the batch. The target t is y, or in the last case the best class of
h(x_w) - alpha log pi. With the primary head h, the pseudo head g and the running class means pi of the reliable and pi'
of the other images,

    L_h = CE(t, h(x_w) + m) + w ( CE(t, h(x_s) + m) + CE(mixup t, h(mixup x_w) + m) + CE(fmix t, h(fmix x_w) + m) )
    L_g = the same of g, plus beta ( CE(q, g(x_w) + m') + w CE(q, g(x_s) + m') ) on the images that are not reliable
    m   = alpha log pi,   m' = alpha log pi',   q = sharpen(softmax(h(x_w) - m'), T)
    pi <- k pi + (1 - k) mean softmax(h(x_w)),   and pi' likewise, after the losses

rho rises from 0.2 to 0.6 and w from 0 to 1 over a share r of the training, the code's 50 of 600 epochs. beta rises
from 0 to 0.1 over twice that share and is zero from then on, as in the code. FMix weighs the targets by the share
that was drawn. Each view, and each mixture of each head, has a forward pass of its own.

Ours: g starts at zero; h alone is deployed; a human label is always reliable; an image without a vote is reliable
only where both networks are confident; before `warm_up` both learn the given labels, as in the code for symmetric
noise.

Against the authors' code (Justherozen/ProMix @ 40d8378): exact in selection, ramps, targets, losses, class means and
weights of a step (golden file promix).
"""

from collections.abc import Iterable
from functools import partial
from math import ceil

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from zerolabel.annotations import Annotations
from zerolabel.blocks import losses, mixup, targets
from zerolabel.learners.base import Batch, Epoch, Learner, Losses, Pass
from zerolabel.networks import Network, twin
from zerolabel.options import Concentration, Epochs, Positive, Share, Temperature, Weight

Heads = tuple[Float[Tensor, "B C"], Float[Tensor, "B C"]]
"""Logits of the primary and of the pseudo head."""


class Side(nn.Module):
    """State of one network besides its weights: its pseudo head, and running class means of its predictions.

    Attributes:
        head: features -> logits, for pseudo-labels.
        mean: of the images that are not reliable.
        reliable_mean: of the reliable images.
    """

    mean: Float[Tensor, " C"]
    reliable_mean: Float[Tensor, " C"]

    def __init__(self, width: int, n_classes: int) -> None:
        super().__init__()
        self.head = nn.Linear(width, n_classes)
        nn.init.zeros_(self.head.weight), nn.init.zeros_(self.head.bias)
        self.register_buffer("mean", torch.full((n_classes,), 1 / n_classes))
        self.register_buffer("reliable_mean", torch.full((n_classes,), 1 / n_classes))

    def margins(self, strength: float) -> tuple[Float[Tensor, " C"], Float[Tensor, " C"]]:
        """``alpha log pi`` and ``alpha log pi'``, finite for a class that is never predicted too."""
        means = torch.stack([self.reliable_mean, self.mean]).clamp_min(targets.TINY)
        of_reliable, of_others = strength * means.log()
        return of_reliable, of_others

    @torch.no_grad()
    def remember(self, p: Float[Tensor, "B C"], reliable: Bool[Tensor, " B"], memory: float) -> None:
        """Move both means; one without an image in the batch stays."""
        for mean, rows in ((self.reliable_mean, p[reliable]), (self.mean, p[~reliable])):
            if len(rows):
                mean.mul_(memory).add_((1 - memory) * rows.mean(0))


class ProMix(Learner):
    """ProMix: select as many clean labels as possible; a separate head learns the pseudo-labels.

    Args:
        warm_up: epochs on the given labels.
        share: rho at first.
        final_share: rho at last.
        ramp_share: r, share of the training over which rho and w rise; the code's 50 of 600 epochs.
        confidence: probability above which a label is believed, or a prediction sure.
        late_share: share of the training after which images that both networks are confident in become reliable; the
            code's last 250 of 600 epochs.
        fill: largest share of a batch that is reliable after that.
        temperature: T of the sharpening.
        debias: alpha, strength of the margins; 0 has none.
        memory: k, of the running class means.
        mixup: parameter of the Beta distribution of MixUp; 0 does not mix.
        fmix: parameter of the Beta distribution of FMix.
        unlabeled_weight: that beta rises to over twice the ramp, before it becomes zero.
    """

    views = ("weak", "strong")
    initial_labels: Int[Tensor, " N"]

    def __init__(
        self,
        network: Network,
        annotations: Annotations,
        *,
        warm_up: Epochs = 10,
        share: Share = 0.2,
        final_share: Share = 0.6,
        ramp_share: Share = 50 / 600,
        confidence: Share = 0.99,
        late_share: Share = 350 / 600,
        fill: Share = 0.9,
        temperature: Temperature = 0.5,
        debias: Weight = 0.8,
        memory: Share = 0.9999,
        mixup: Concentration = 4.0,
        fmix: Positive = 1.0,
        unlabeled_weight: Weight = 0.1,
    ) -> None:
        super().__init__(network, annotations)
        self.warm_up, self.share, self.final_share, self.ramp_share = warm_up, share, final_share, ramp_share
        self.confidence, self.late_share, self.fill, self.temperature = confidence, late_share, fill, temperature
        self.debias, self.memory, self.mixup, self.fmix = debias, memory, mixup, fmix
        self.unlabeled_weight = unlabeled_weight
        self.peer = twin(network)
        n_classes = len(annotations.classes)
        self.side, self.peer_side = (Side(network.feature_dim, n_classes) for _ in range(2))
        self.register_buffer("initial_labels", targets.initial_labels(self.scores, self.candidates, self.labels))

    @property
    def networks(self) -> tuple[Network, ...]:
        """Both networks."""
        return (self.network, self.peer)

    def passes(self, epoch: Epoch) -> Iterable[Pass]:
        """Warm-up, then selection by each network and a pass over all images for both."""
        if epoch.number < self.warm_up:
            yield Pass(self.warm_up_step, (self.labeled,), views=("weak",))
            return
        rho, w, beta = self.ramps(epoch.progress)
        chosen = [self.select(epoch.predict(network), rho, self.labels) >= 0 for network in self.networks]
        self.figures = {"chosen_a": float(chosen[0].sum()), "chosen_b": float(chosen[1].sum())}
        yield Pass(partial(self.co_step, (chosen[0], chosen[1]), w, beta, epoch.progress > self.late_share))

    def ramps(self, progress: float) -> tuple[float, float, float]:
        """rho, w and beta at a share of the training."""
        w = targets.ramped(1.0, progress, self.ramp_share)
        rho = self.share + (self.final_share - self.share) * w
        beta = targets.ramped(self.unlabeled_weight, progress, 2 * self.ramp_share)
        return rho, w, beta if progress < 2 * self.ramp_share else 0.0

    def warm_up_step(self, batch: Batch) -> Losses:
        """Cross-entropy with the given label, for each network."""
        target = targets.one_hot(self.initial_labels[batch.index], self.candidates.shape[1])
        a, b = (losses.cross_entropy(network(batch.views[0]), target) for network in self.networks)
        return {"warm_up_a": a, "warm_up_b": b}

    def select(self, p: Float[Tensor, "N C"], rho: float, human: Int[Tensor, " N"]) -> Int[Tensor, " N"]:
        """The given label of as many images of each class, those of small loss, and a person's; -1 for the others."""
        n, n_classes = int((self.initial_labels >= 0).sum()), p.shape[1]
        known = p.gather(1, self.initial_labels.clamp_min(0)[:, None]).squeeze(1)
        quota = max(ceil(n * (1 / n_classes) * rho), 1)
        counts = torch.full((n_classes,), quota, device=p.device)
        chosen = targets.smallest_per_class(-known, self.initial_labels, counts)
        return human.where(human >= 0, self.initial_labels.where(chosen, -1))

    def co_step(
        self, chosen: tuple[Bool[Tensor, " N"], Bool[Tensor, " N"]], w: float, beta: float, late: bool, batch: Batch
    ) -> Losses:
        """One step of both networks, each with its own selection.

        Args:
            chosen: selected images, by the first and by the second network.
            w: weight of the strong and mixed views.
            beta: weight of the images that are not reliable.
            late: whether agreement makes images reliable.
            batch: weak and strong views.
        """
        sides = ((self.network, self.side), (self.peer, self.peer_side))
        seen = [[both_heads(*own, view) for view in batch.views] for own in sides]
        p = [weak[0].detach().softmax(1) for weak, _ in seen]
        terms: Losses = {}
        for k, (network, side) in enumerate(sides):
            reliable, target = self.believe(chosen[k], batch.index, p[k], p[1 - k], seen[k][0][0], side, late)
            guess = self.guess(seen[k][0][0], side)
            found = self.losses_on_views(side, seen[k], reliable, target, guess)
            found |= self.losses_on_mixtures(network, side, batch.views[0][reliable], target[reliable])
            weights = {"weak": 1.0, "weak_pseudo": 1.0, "unreliable_weak": beta, "unreliable_strong": beta * w}
            for name, value in found.items():
                terms[f"{name}_{'ab'[k]}"] = weights.get(name, w) * value
            side.remember(p[k], reliable, self.memory)
        return terms

    @torch.no_grad()
    def believe(
        self,
        chosen: Bool[Tensor, " N"],
        index: Int[Tensor, " B"],
        p: Float[Tensor, "B C"],
        other: Float[Tensor, "B C"],
        logits: Float[Tensor, "B C"],
        side: Side,
        late: bool,
    ) -> tuple[Bool[Tensor, " B"], Float[Tensor, "B C"]]:
        """Which images of a batch are reliable for a network, and the targets of those.

        Args:
            chosen: images that the network selected before the epoch.
            index: images of the batch.
            p: probabilities by the network.
            other: by its peer.
            logits: of the network.
            side: has the margin of the reliable images.
            late: whether agreement counts.
        """
        given = targets.one_hot(self.initial_labels[index], p.shape[1])
        labeled = chosen[index] | ((given * p).sum(1) > self.confidence)
        best = targets.one_hot((logits - side.margins(self.debias)[0]).argmax(1), p.shape[1])
        target = torch.where(labeled[:, None], given, best)
        return (labeled | self.agreed(p, other, labeled)) if late else labeled, target

    def agreed(
        self, p: Float[Tensor, "B C"], other: Float[Tensor, "B C"], reliable: Bool[Tensor, " B"]
    ) -> Bool[Tensor, " B"]:
        """The most confident images on which both networks agree, until enough of the batch is reliable."""
        (sure, best), (other_sure, other_best) = p.max(1), other.max(1)
        both = (best == other_best) & (sure > self.confidence) & (other_sure > self.confidence) & ~reliable
        room = max(int(len(p) * self.fill) - int(reliable.sum()), 0)
        surest = (sure + other_sure).masked_fill(~both, -1).argsort(descending=True, stable=True)[:room]
        return both & torch.zeros_like(both).index_fill(0, surest, True)

    @torch.no_grad()
    def guess(self, logits: Float[Tensor, "B C"], side: Side) -> Float[Tensor, "B C"]:
        """Soft pseudo-labels of the images that are not reliable, by the network alone."""
        return targets.sharpen((logits - side.margins(self.debias)[1]).softmax(1), self.temperature)

    def losses_on_views(
        self,
        side: Side,
        seen: list[Heads],
        reliable: Bool[Tensor, " B"],
        target: Float[Tensor, "B C"],
        guess: Float[Tensor, "B C"],
    ) -> Losses:
        """Cross-entropies of both heads on the reliable images, and of the pseudo head on the others."""
        margin, doubt = side.margins(self.debias)
        found = {}
        for view, (logits, pseudo) in zip(("weak", "strong"), seen, strict=True):
            found[view] = losses.cross_entropy(logits[reliable] + margin, target[reliable])
            found[f"{view}_pseudo"] = losses.cross_entropy(pseudo[reliable] + margin, target[reliable])
            found[f"unreliable_{view}"] = losses.cross_entropy(pseudo[~reliable] + doubt, guess[~reliable])
        return found

    def losses_on_mixtures(
        self, network: Network, side: Side, x: Float[Tensor, "R ..."], target: Float[Tensor, "R C"]
    ) -> Losses:
        """Cross-entropies of each head on MixUp and FMix of the weak views of the reliable images."""
        margin, _ = side.margins(self.debias)
        found = {}
        for head, name in ((network.head, ""), (side.head, "_pseudo")):
            mix, patch = mixup.draw(len(x), self.mixup, x.device), mixup.draw_mask(x, self.fmix)
            mixed, patched = (head(network.features(blend(x))).float() + margin for blend in (mix, patch))
            found[f"mixup{name}"] = losses.cross_entropy(mixed, mix(target))
            found[f"fmix{name}"] = losses.cross_entropy(patched, patch.targets(target))
        return found


def both_heads(network: Network, side: Side, x: Float[Tensor, "B ..."]) -> Heads:
    """Logits of the primary and of the pseudo head, from the same features."""
    features = network.features(x)
    return network.head(features).float(), side.head(features).float()
