"""Co-Reg. Wang, Xie, Zhang, Liu, Xia. Pre-Trained Vision-Language Models as (Noisy) Partial Annotators.
AAAI 2025 (arXiv 2406.18550).

Two networks clean the labels for each other. After a warm-up on the candidate sets, each epoch divides the
images by a mixture on the loss of the best candidate; the peer's division says whose candidates a network
may use (partial split) and whose it must forget (unlabelled split).

    t      = sharpen(w p~_peer + (1 - w) mean_k p_own(x_w^k), T)            partial split         (Eq. 5, 7)
    t      = sharpen(mean_k (p_own(x_w^k) + p_peer(x_w^k)) / 2, T)          unlabelled split      (Eq. 6, 7)
    L      = L_cr + lambda_1 L_prot + lambda_2 L_ncont
    L_cr   = CE(t, p(x_s)) + lambda_u(e) sum_j (p_j(x_s) - t_j)^2           on MixUp of the strong views
    L_prot = KL(t || s) + sum_j (s_j - t_j)^2,   s = softmax(z . o / 0.3)   the same
    L_ncont: see `losses.pairs`; queries are strong views, keys go through a momentum copy.

Where the paper and its code differ or are silent: squared errors are summed over classes as the paper prints
them; a set of all classes teaches nothing in warm-up because its loss is zero; prototypes are normalised once
a batch; an image that a person labelled is always in the partial split, with a one-hot target.

Ours, and off by default: `evidence` and `align_batches`, for classes that the annotators hardly tell apart. Where
two classes come together in most sets, naming one of them for both costs nothing in warm-up, and co-training then
forgets the other.
"""

from collections.abc import Iterable
from functools import partial
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from zerolabel.annotations import Annotations
from zerolabel.blocks import losses, mixup, targets
from zerolabel.blocks.contrastive import Contrast
from zerolabel.blocks.memory import LossHistory, Prototypes
from zerolabel.learners.base import Batch, Epoch, Learner, Losses, Pass
from zerolabel.networks import Network, twin


class Side(Contrast):
    """What one of the two networks has beside its weights: also the history of its division losses."""

    def __init__(
        self, network: Network, n_images: int, *, history: int, embedding: int, queue: int, momentum: float
    ) -> None:
        super().__init__(network, embedding=embedding, queue=queue, momentum=momentum)
        self.history = LossHistory(n_images, history)


class CoReg(Learner):
    """Two networks exchange their divisions of the images into partial and unlabelled.

    Args:
        warm_up: E_w, epochs on the candidate sets alone; the paper's 50 or 100.
        entropy_weight: of the negative entropy in warm-up.
        evidence: "sets" takes candidates as equal in warm-up, as the paper does; "scores" weighs each by its score.
        temperature: T of the sharpening.
        threshold: posterior above which an image is in the partial split.
        history: epochs over which the division loss is averaged.
        mixup: parameter of the Beta distribution; 0 does not mix.
        unlabelled_weight: final lambda_u.
        ramp: epochs after warm-up over which lambda_u rises linearly.
        restart: draw as many images of the unlabelled split as of the partial one, as the paper does; off draws
            each image once an epoch, so that a small unlabelled split is not learned by heart.
        prototype_weight: lambda_1; 0 is the ablation "without prototypes".
        contrast_weight: lambda_2.
        delay: epochs after warm-up before the last two losses join.
        embedding: dimension of z.
        queue: entries of the contrastive queue.
        momentum: of the momentum copies.
        prototype_momentum: of the prototypes.
        prototype_temperature: of the prototype similarities.
        contrast_temperature: of the contrastive similarities.
        balance: how far images of rare classes are drawn more often, see `labels.repeat_rare`; the paper's 0 draws
            each as often, 1 every class as often.
        prior: the class prior that predictions are aligned to: "uniform", "estimated", "auto" for the estimated one
            where that is skewed, "none" for no alignment, or one weight per class.
        align_batches: whether pseudo-labels of a batch are aligned to the prior, too, by the same factors.
        co_pseudo_labels: off is the ablation in which each network divides and labels for itself.
        contrast: "noisy", or "supervised" for the ablation with the plain supervised contrastive loss.
        unlabelled_split: off is the ablation that drops it.
    """

    views = ("weak", "weak", "strong", "strong")
    prior: Float[Tensor, " C"]

    def __init__(
        self,
        network: Network,
        annotations: Annotations,
        *,
        warm_up: int = 50,
        entropy_weight: float = 1.0,
        evidence: Literal["sets", "scores"] = "sets",
        temperature: float = 0.5,
        threshold: float = 0.5,
        history: int = 5,
        mixup: float = 4.0,
        unlabelled_weight: float = 1.0,
        ramp: int = 16,
        restart: bool = True,
        prototype_weight: float = 0.1,
        contrast_weight: float = 0.1,
        delay: int = 10,
        embedding: int = 128,
        queue: int = 8192,
        momentum: float = 0.999,
        prototype_momentum: float = 0.999,
        prototype_temperature: float = 0.3,
        contrast_temperature: float = 0.07,
        balance: float = 0.0,
        prior: str | tuple[float, ...] = "uniform",
        align_batches: bool = False,
        co_pseudo_labels: bool = True,
        contrast: Literal["noisy", "supervised"] = "noisy",
        unlabelled_split: bool = True,
    ) -> None:
        super().__init__(network, annotations)
        self.warm_up, self.entropy_weight, self.delay, self.ramp = warm_up, entropy_weight, delay, ramp
        self.temperature, self.threshold, self.mixup = temperature, threshold, mixup
        self.unlabelled_weight, self.prototype_weight = unlabelled_weight, prototype_weight
        self.contrast_weight = contrast_weight
        self.prototype_temperature, self.contrast_temperature = prototype_temperature, contrast_temperature
        self.co_pseudo_labels, self.contrast, self.unlabelled_split = co_pseudo_labels, contrast, unlabelled_split
        self.restart, self.balance = restart, balance
        self.evidence, self.aligned = evidence, prior != "none"
        self.align_batches = align_batches and self.aligned
        self.register_buffer("prior", targets.class_prior(self.scores, prior if self.aligned else "uniform"))
        self.peer = twin(network)
        side = partial(Side, history=history, embedding=embedding, queue=queue, momentum=momentum)
        self.side, self.peer_side = (side(one, len(annotations)) for one in self.networks)
        self.prototypes = Prototypes(len(annotations.classes), embedding, prototype_momentum)

    @property
    def networks(self) -> tuple[Network, ...]:
        """Both networks."""
        return (self.network, self.peer)

    def passes(self, epoch: Epoch) -> Iterable[Pass]:
        """Warm-up of each network alone; then scoring of all images, exchange of divisions, and co-training."""
        a, b = (self.network, self.side), (self.peer, self.peer_side)
        if epoch.number < self.warm_up:
            for network, _ in (a, b):
                drawn = self.evenly(self.labelled)
                yield Pass(partial(self.warm_up_step, network), (drawn,), batches=2, views=("strong",))
            return
        raw_a, raw_b = (epoch.predict(network) for network in self.networks)
        tilt_a, tilt_b = (self.prior / p.mean(0).clamp_min(targets.TINY) for p in (raw_a, raw_b))
        p_a, p_b = self.score(raw_a), self.score(raw_b)
        w_a, w_b = self.divide(p_a, self.side), self.divide(p_b, self.peer_side)
        self.figures = {
            "partial_a": float((w_a > self.threshold).sum()),
            "partial_b": float((w_b > self.threshold).sum()),
            "agreement": float((p_a.argmax(1) == p_b.argmax(1)).float().mean()),
        }
        if not self.co_pseudo_labels:
            p_a, p_b, w_a, w_b = p_b, p_a, w_b, w_a
        since = epoch.number - self.warm_up
        for own, peer, w, p, tilts in ((a, b, w_b, p_b, (tilt_a, tilt_b)), (b, a, w_a, p_a, (tilt_b, tilt_a))):
            own[1].start(own[0])
            step = partial(self.co_step, *own, peer[0], w, targets.restrict(p, self.candidates), tilts, since)
            yield Pass(step, self.groups(w), restart=self.restart)

    def warm_up_step(self, network: Network, batch: Batch) -> Losses:
        """``-log sum_{j in S} p_j`` and the negative entropy, which resists over-confidence."""
        logits, candidates = network(batch.views[0]), self.candidates[batch.index]
        weight = targets.restrict(self.scores[batch.index], candidates) if self.evidence == "scores" else None
        return {
            "warm_up": losses.partial_cross_entropy(logits, candidates, weight),
            "entropy": self.entropy_weight * losses.negative_entropy(logits),
        }

    def score(self, p: Float[Tensor, "N C"]) -> Float[Tensor, "N C"]:
        """Predictions on all images, aligned to the class prior."""
        return targets.align(p, self.prior) if self.aligned else p

    def divide(self, p: Float[Tensor, "N C"], side: Side) -> Float[Tensor, " N"]:
        """Posterior that the candidate set holds the truth, from the loss of the best candidate."""
        rows = self.labelled
        loss = -(p * self.candidates).amax(1).clamp_min(targets.TINY).log()
        low, high = loss[rows].aminmax() if len(rows) else (loss.min(), loss.max())
        mean_loss = side.history.push((loss - low) / (high - low).clamp_min(targets.TINY))
        posterior = torch.zeros_like(mean_loss)
        posterior[rows] = targets.split_clean(mean_loss[rows])
        return torch.where(self.labels >= 0, 1.0, posterior)

    def evenly(self, index: Int[Tensor, " M"]) -> Int[Tensor, " L"]:
        """Images to draw, those of rare classes more often: by a person's label, else the annotators' best class."""
        presumed = torch.where(self.labels >= 0, self.labels, self.scores.argmax(1))
        return targets.repeat_rare(index, presumed, self.balance)

    def groups(self, w: Float[Tensor, " N"]) -> tuple[Int[Tensor, " P"], Int[Tensor, " U"]]:
        """Partial and unlabelled split; a human label comes with both, so that no other image comes more often."""
        trusted, rest = targets.groups(w > self.threshold, self.labels >= 0)
        return self.evenly(trusted), rest if self.unlabelled_split else rest[:0]

    def co_step(
        self,
        own: Network,
        side: Side,
        peer: Network,
        w: Float[Tensor, " N"],
        restricted: Float[Tensor, "N C"],
        tilts: tuple[Float[Tensor, " C"], Float[Tensor, " C"]],
        since: int,
        trusted: Batch,
        rest: Batch,
    ) -> Losses:
        """One step of one network with the division and the labels of its peer."""
        n, index = len(trusted.index), torch.cat([trusted.index, rest.index])
        weak_1, weak_2, strong_1, strong_2 = (torch.cat(pair) for pair in zip(trusted.views, rest.views, strict=True))
        own.train(), peer.eval()
        with torch.no_grad():
            features = own.features(torch.cat([weak_1, weak_2]))
            p_own = own.head(features).float().softmax(1)
            p_own = self.tilted((p_own[: len(index)] + p_own[len(index) :]) / 2, tilts[0])
            p_peer = self.peer_labels(peer, p_own[n:], weak_1[n:], weak_2[n:], tilts[1])
            trust = w[trusted.index, None]
            mixed_labels = trust * restricted[trusted.index] + (1 - trust) * p_own[:n]
            target = targets.sharpen(torch.cat([mixed_labels, (p_own[n:] + p_peer) / 2]), self.temperature)
            human = self.labels[index]
            target = torch.where((human >= 0)[:, None], targets.one_hot(human, target.shape[1]), target)
            pseudo, clean = target.argmax(1), (torch.arange(len(index), device=target.device) < n) | (human >= 0)
            self.prototypes.update(side.embed(features[:n]), pseudo[:n], human[:n] >= 0)
            keys = side.keys(own, strong_2)
        terms = self.consistency(
            own, side, torch.cat([strong_1, strong_2]), target.repeat(2, 1), clean.repeat(2), since
        )
        if since > self.delay:
            queries = side.embed(own.features(strong_1))
            pairs = side.same_label(pseudo) if self.contrast == "supervised" else side.trusted_label(pseudo, clean)
            similarity = side.similarity(queries, keys) / self.contrast_temperature
            terms["contrast"] = self.contrast_weight * losses.supervised_contrastive(similarity, *pairs)
        side.queue.push(keys, pseudo, clean)
        return terms

    def tilted(self, p: Float[Tensor, "B C"], tilt: Float[Tensor, " C"]) -> Float[Tensor, "B C"]:
        """Predictions of a batch, aligned to the class prior where that is wanted."""
        return targets.normalise(p * tilt) if self.align_batches else p

    def peer_labels(
        self, peer: Network, p_own: Tensor, weak_1: Tensor, weak_2: Tensor, tilt: Tensor
    ) -> Float[Tensor, "U C"]:
        """The peer's mean prediction on the unlabelled split; the network's own where it labels for itself."""
        if not self.co_pseudo_labels or len(weak_1) == 0:
            return p_own
        p: Tensor = peer(torch.cat([weak_1, weak_2])).float().softmax(1)
        return self.tilted((p[: len(weak_1)] + p[len(weak_1) :]) / 2, tilt)

    def consistency(
        self, own: Network, side: Side, x: Tensor, target: Float[Tensor, "B C"], clean: Tensor, since: int
    ) -> Losses:
        """Label consistency and prototype similarity alignment on MixUp of the strong views."""
        mix = mixup.draw(len(x), self.mixup, x.device)
        features = own.features(mix(x))
        logits, mixed = own.head(features).float(), mix(target)
        ramp = min((since + 1) / self.ramp, 1.0) if self.ramp else 1.0
        terms = {
            "consistency": losses.cross_entropy(logits[clean], mixed[clean]),
            "unlabelled": self.unlabelled_weight
            * ramp
            * losses.squared_error(logits[~clean].softmax(1), mixed[~clean]),
        }
        if self.prototype_weight and since > self.delay:
            similarity = self.prototypes.similarity(side.embed(features)) / self.prototype_temperature
            ends = ((mix.share, target), (1 - mix.share, target[mix.order]))
            parts = [share * self.alignment(similarity, goal, clean) for share, goal in ends]
            terms["prototype"] = self.prototype_weight * (parts[0] + parts[1])
        return terms

    def alignment(
        self, similarity: Float[Tensor, "B C"], target: Float[Tensor, "B C"], clean: Tensor
    ) -> Float[Tensor, ""]:
        """Divergence on the partial split, squared error on the unlabelled one."""
        return losses.divergence(target[clean], similarity[clean]) + losses.squared_error(
            similarity[~clean].softmax(1), target[~clean]
        )
