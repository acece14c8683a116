"""Co-Reg. Wang, Xie, Zhang, Liu, Xia. Pre-Trained Vision-Language Models as (Noisy) Partial Annotators.
AAAI 2025 (arXiv 2406.18550).

Two networks clean the labels for each other. After a warm-up on the candidate sets, each epoch divides the
images by a mixture on the loss of the best candidate; the peer's division says whose candidates a network
may use (partial split) and whose it must forget (unlabeled split).

    t      = sharpen(w p~_peer + (1 - w) mean_k p_own(x_w^k), T)            partial split         (Eq. 5, 7)
    t      = sharpen(mean_k (p_own(x_w^k) + p_peer(x_w^k)) / 2, T)          unlabeled split      (Eq. 6, 7)
    L      = L_cr + lambda_1 L_prot + lambda_2 L_ncont
    L_cr   = CE(t, p(x_s)) + lambda_u(e) mean_j (p_j(x_s) - t_j)^2          on MixUp of the strong views
    L_prot = KL(t || s) + lambda_u mean_j (s_j - t_j)^2,   s = softmax(z . o / 0.3)      the same
    L_ncont: see `losses.pairs`; queries are strong views, keys go through a momentum copy.

Where the paper and its code differ or the paper is silent, the defaults are the code's (Portugas0807/Co-Reg at
7fa6d67): squared errors are means over classes, the paper prints sums; lambda_u rises within an epoch, from 0; the
own network labels in train mode with its own pass for each view and split, so that batch statistics never mix
the splits; images of the unlabeled split come once in a batch; in warm-up a set of all classes does not count, and
1e-5 is added inside the logarithm; predictions are aligned by a table that is renewed batch by batch.

Ours: an image labeled by a human is always in the partial split, with a one-hot target.

Ours, and off by default: `evidence` and `align_batches`, for classes that the annotators hardly distinguish. Where
two classes come together in most sets, naming one of them for both costs nothing in warm-up, and co-training then
forgets the other.

Against the authors' code: the terms, and one and five whole steps with and without batch normalization, agree to
1e-5 (golden files coreg_*).
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
from zerolabel.files import rows
from zerolabel.learners.base import Batch, Epoch, Learner, Losses, Pass
from zerolabel.networks import Network, twin
from zerolabel.options import Concentration, Count, Epochs, Prior, Share, Temperature, Weight


class Side(Contrast):
    """State of one network besides its weights.

    Attributes:
        history: of its division losses.
        table: its last prediction on each image, the uniform one before the first.
    """

    table: Float[Tensor, "N C"]

    def __init__(
        self, network: Network, shape: tuple[int, int], *, history: int, embedding: int, queue: int, momentum: float
    ) -> None:
        super().__init__(network, embedding=embedding, queue=queue, momentum=momentum)
        self.history = LossHistory(shape[0], history)
        self.register_buffer("table", rows.zeros(shape).fill_(1 / shape[1]))


class CoReg(Learner):
    """Two networks exchange their divisions of the images into partial and unlabeled.

    Args:
        warm_up: E_w, epochs on the candidate sets alone; the paper's 50 or 100.
        entropy_weight: of the negative entropy in warm-up.
        evidence: "sets" takes candidates as equal in warm-up, as the paper does; "scores" weighs each by its score.
        full_sets: whether images whose set is all classes count in the warm-up's mean over images; in the code they
            do not. With `evidence` "scores" they teach something, too.
        floor: added to the probability of the set inside the warm-up's logarithm.
        temperature: T of the sharpening.
        threshold: posterior above which an image is in the partial split.
        history: epochs over which the division loss is averaged.
        mixup: parameter of the Beta distribution; 0 does not mix.
        unlabeled_weight: final lambda_u.
        squared_error: "mean" over classes as in the code, or "sum" as the paper prints it, C times as much.
        ramp: epochs after warm-up over which lambda_u rises linearly.
        ramp_by: "batch" rises within an epoch, from 0 in the first batch, as the code does; "epoch" keeps lambda_u for
            a whole epoch, from 1 / ramp in the first.
        restart: draw the unlabeled split again and again until the partial one is drawn; off draws each image once an
            epoch, so that a small unlabeled split is not learned by memorizing.
        repeats: whether batches of a small unlabeled split are filled up with images that they hold already; off is
            the code's way, whose batches are smaller then.
        labeling: "separate": a network labels each view of each split in a forward pass of its own, as in the code;
            "joint": all in one pass, which is faster, and steadier where a batch has few images of a split.
        prototype_weight: lambda_1; 0 is the ablation "without prototypes".
        contrast_weight: lambda_2.
        delay: epochs after warm-up before the last two losses join.
        embedding: dimension of z.
        queue: entries of the contrastive queue.
        ema_momentum: of the momentum copies.
        prototype_momentum: of the prototypes.
        prototype_temperature: of the prototype similarities.
        contrast_temperature: of the contrastive similarities.
        balance: how far images of rare classes are drawn more often, see `labels.repeat_rare`; the paper's 0 draws
            each as often, 1 every class as often. Off with the prior "auto" where human labels were given and that
            prior is skewed: it is known then that classes are not even.
        prior: the class prior that predictions are aligned to: "uniform", "estimated", "auto" for the estimated one
            where that is skewed, "none" for no alignment, or one weight per class.
        alignment: "running" aligns by a table of predictions that is renewed batch by batch, from the warm-up on, as
            the code does; "whole" by the mean of all new predictions.
        alignment_batch: images that are looked at together where the alignment is "running".
        align_batches: whether pseudo-labels of a batch are aligned to the prior, too, by the factors of "whole".
        co_pseudo_labels: off is the ablation in which each network divides and labels for itself.
        contrast: "noisy", or "supervised" for the ablation with the plain supervised contrastive loss.
        unlabeled_split: off is the ablation that drops it.
    """

    made_for = 10_000
    views = ("weak", "weak", "strong", "strong")
    prior: Float[Tensor, " C"]

    def __init__(
        self,
        network: Network,
        annotations: Annotations,
        *,
        warm_up: Epochs = 50,
        entropy_weight: Weight = 1.0,
        evidence: Literal["sets", "scores"] = "sets",
        full_sets: bool = False,
        floor: Share = 1e-5,
        temperature: Temperature = 0.5,
        threshold: Share = 0.5,
        history: Count = 5,
        mixup: Concentration = 4.0,
        unlabeled_weight: Weight = 1.0,
        squared_error: Literal["mean", "sum"] = "mean",
        ramp: Epochs = 16,
        ramp_by: Literal["batch", "epoch"] = "batch",
        restart: bool = True,
        repeats: bool = False,
        labeling: Literal["separate", "joint"] = "separate",
        prototype_weight: Weight = 0.1,
        contrast_weight: Weight = 0.1,
        delay: Epochs = 10,
        embedding: Count = 128,
        queue: Count = 8192,
        ema_momentum: Share = 0.999,
        prototype_momentum: Share = 0.999,
        prototype_temperature: Temperature = 0.3,
        contrast_temperature: Temperature = 0.07,
        balance: Share = 0.0,
        prior: Prior | Literal["none"] = "uniform",
        alignment: Literal["running", "whole"] = "running",
        alignment_batch: Count = 256,
        align_batches: bool = False,
        co_pseudo_labels: bool = True,
        contrast: Literal["noisy", "supervised"] = "noisy",
        unlabeled_split: bool = True,
    ) -> None:
        super().__init__(network, annotations)
        self.warm_up, self.entropy_weight, self.delay, self.ramp = warm_up, entropy_weight, delay, ramp
        self.temperature, self.threshold, self.mixup = temperature, threshold, mixup
        self.unlabeled_weight, self.prototype_weight = unlabeled_weight, prototype_weight
        self.contrast_weight = contrast_weight
        self.prototype_temperature, self.contrast_temperature = prototype_temperature, contrast_temperature
        self.co_pseudo_labels, self.contrast, self.unlabeled_split = co_pseudo_labels, contrast, unlabeled_split
        self.restart, self.repeats, self.labeling = restart, repeats, labeling
        self.evidence, self.full_sets, self.floor, self.aligned = evidence, full_sets, floor, prior != "none"
        self.square_scale, self.ramp_by = (1 / len(annotations.classes) if squared_error == "mean" else 1.0), ramp_by
        self.align_by, self.alignment_batch = alignment, alignment_batch
        self.align_batches = align_batches and self.aligned
        self.register_buffer("prior", targets.class_prior(self.scores, prior if self.aligned else "uniform"))
        known_skew = prior == "auto" and bool((self.labels >= 0).any()) and bool(self.prior.max() > self.prior.min())
        self.balance = 0.0 if known_skew else balance
        self.peer = twin(network)
        side = partial(Side, history=history, embedding=embedding, queue=queue, momentum=ema_momentum)
        shape = (len(annotations), len(annotations.classes))
        self.side, self.peer_side = (side(one, shape) for one in self.networks)
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
                drawn = self.evenly(self.labeled)
                yield Pass(partial(self.warm_up_step, network), (drawn,), batches=2, views=("strong",))
            return
        raw_a, raw_b = (epoch.predict(network) for network in self.networks)
        tilt_a, tilt_b = (self.prior / p.mean(0).clamp_min(targets.TINY) for p in (raw_a, raw_b))
        p_a, p_b = self.score(raw_a, self.side), self.score(raw_b, self.peer_side)
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
            step = partial(
                self.co_step, *own, peer[0], w, rows.each(targets.restrict, p, self.candidates), tilts, since
            )
            yield Pass(step, self.groups(w), restart=self.restart, repeats=self.repeats)

    def warm_up_step(self, network: Network, batch: Batch) -> Losses:
        """``-log sum_{j in S} p_j`` and the negative entropy, which resists over-confidence."""
        logits, candidates = network(batch.views[0]), self.candidates[batch.index]
        side = self.side if network is self.network else self.peer_side
        side.table[batch.index] = logits.detach().float().softmax(1)
        weight = targets.restrict(self.scores[batch.index], candidates) if self.evidence == "scores" else None
        return {
            "warm_up": losses.partial_cross_entropy(
                logits, candidates, weight, full_sets=self.full_sets, floor=self.floor
            ),
            "entropy": self.entropy_weight * losses.negative_entropy(logits),
        }

    def score(self, p: Float[Tensor, "N C"], side: Side | None = None) -> Float[Tensor, "N C"]:
        """Predictions on all images, aligned to the class prior; a side's table remembers them."""
        if side is None or not self.aligned or self.align_by == "whole":
            return targets.align(p, self.prior) if self.aligned else p
        aligned = targets.align_running(p, side.table, self.prior, self.alignment_batch)
        side.table.copy_(p)
        return aligned

    def divide(self, p: Float[Tensor, "N C"], side: Side) -> Float[Tensor, " N"]:
        """Posterior that the candidate set holds the truth, from the loss of the best candidate."""
        labeled, best = self.labeled, rows.each(lambda part, among: (part * among).amax(1), p, self.candidates)
        loss = -best.clamp_min(targets.TINY).log()
        low, high = loss[labeled].aminmax() if len(labeled) else (loss.min(), loss.max())
        mean_loss = side.history.push((loss - low) / (high - low).clamp_min(targets.TINY))
        posterior = torch.zeros_like(mean_loss)
        posterior[labeled] = targets.split_clean(mean_loss[labeled])
        return torch.where(self.labels >= 0, 1.0, posterior)

    def evenly(self, index: Int[Tensor, " M"]) -> Int[Tensor, " L"]:
        """Images to draw, those of rare classes more often: by a human label, else the annotators' best class."""
        presumed = torch.where(self.labels >= 0, self.labels, self.scores.argmax(1))
        return targets.repeat_rare(index, presumed, self.balance)

    def groups(self, w: Float[Tensor, " N"]) -> tuple[Int[Tensor, " P"], Int[Tensor, " U"]]:
        """Partial and unlabeled split; a human label comes with both, so that no other image comes more often."""
        trusted, rest = targets.groups(w > self.threshold, self.labels >= 0)
        return self.evenly(trusted), rest if self.unlabeled_split else rest[:0]

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
        strong_1, strong_2 = (torch.cat([trusted.views[k], rest.views[k]]) for k in (2, 3))
        own.train(), peer.eval()
        with torch.no_grad():
            p_1, p_2, u_1, u_2 = self.weak_features(own, trusted, rest)
            p_own, u_own = (self.tilted(own_mean(own, views), tilts[0]) for views in ((p_1, p_2), (u_1, u_2)))
            u_peer = self.peer_labels(peer, u_own, rest.views[0], rest.views[1], tilts[1])
            trust = w[trusted.index, None]
            mixed_labels = trust * restricted[trusted.index] + (1 - trust) * p_own
            target = targets.sharpen(torch.cat([mixed_labels, (u_own + u_peer) / 2]), self.temperature)
            human = self.labels[index]
            target = torch.where((human >= 0)[:, None], targets.one_hot(human, target.shape[1]), target)
            pseudo, clean = target.argmax(1), (torch.arange(len(index), device=target.device) < n) | (human >= 0)
            self.prototypes.update(side.embed(p_1), pseudo[:n], human[:n] >= 0)
            keys = side.keys(own, strong_2)
        strong = torch.cat([strong_1, strong_2])
        passed = since + trusted.progress
        terms = self.consistency(own, side, strong, target.repeat(2, 1), clean.repeat(2), passed)
        if since <= self.delay and self.labeling == "separate":
            with torch.no_grad():  # the code's queries pass in every step, which moves running statistics
                own.features(strong_1)
        if since > self.delay:
            queries = side.embed(own.features(strong_1))
            pairs = side.same_label(pseudo) if self.contrast == "supervised" else side.trusted_label(pseudo, clean)
            similarity = side.similarity(queries, keys) / self.contrast_temperature
            terms["contrast"] = self.contrast_weight * losses.supervised_contrastive(similarity, *pairs)
        side.queue.push(keys, pseudo, clean)
        return terms

    def weak_features(
        self, own: Network, trusted: Batch, rest: Batch
    ) -> tuple[Float[Tensor, "P F"], Float[Tensor, "P F"], Float[Tensor, "U F"], Float[Tensor, "U F"]]:
        """Features of both weak views of the partial split, then of the unlabeled one.

        Separate passes come in the order of the code, since each moves the running statistics.
        """
        if self.labeling == "separate":
            u_1, u_2, p_1, p_2 = (own.features(x) for x in (*rest.views[:2], *trusted.views[:2]))
            return p_1, p_2, u_1, u_2
        x = torch.cat([trusted.views[0], rest.views[0], trusted.views[1], rest.views[1]])
        p_1, u_1, p_2, u_2 = own.features(x).split([len(trusted.index), len(rest.index)] * 2)
        return p_1, p_2, u_1, u_2

    def tilted(self, p: Float[Tensor, "B C"], tilt: Float[Tensor, " C"]) -> Float[Tensor, "B C"]:
        """Predictions of a batch, aligned to the class prior where that is wanted."""
        return targets.normalize(p * tilt) if self.align_batches else p

    def peer_labels(
        self, peer: Network, p_own: Tensor, weak_1: Tensor, weak_2: Tensor, tilt: Tensor
    ) -> Float[Tensor, "U C"]:
        """The peer's mean prediction on the unlabeled split; the network's own where it labels for itself."""
        if not self.co_pseudo_labels or len(weak_1) == 0:
            return p_own
        p: Tensor = peer(torch.cat([weak_1, weak_2])).float().softmax(1)
        return self.tilted((p[: len(weak_1)] + p[len(weak_1) :]) / 2, tilt)

    def lambda_u(self, since: float) -> float:
        """Weight of the unlabeled split, by the epochs since the warm-up with the share of the pass that is done."""
        passed = since if self.ramp_by == "batch" else int(since) + 1
        return self.unlabeled_weight * (min(passed / self.ramp, 1.0) if self.ramp else 1.0)

    def consistency(
        self,
        own: Network,
        side: Side,
        x: Tensor,
        target: Float[Tensor, "B C"],
        clean: Tensor,
        since: float,
    ) -> Losses:
        """Label consistency and prototype similarity alignment on MixUp of the strong views."""
        mix = mixup.draw(len(x), self.mixup, x.device)
        features = own.features(mix(x))
        logits, mixed = own.head(features).float(), mix(target)
        squares = self.square_scale * losses.squared_error(logits[~clean].softmax(1), mixed[~clean])
        terms = {
            "consistency": losses.cross_entropy(logits[clean], mixed[clean]),
            "unlabeled": self.lambda_u(since) * squares,
        }
        if self.prototype_weight and int(since) > self.delay:
            similarity = self.prototypes.similarity(side.embed(features)) / self.prototype_temperature
            ends = ((mix.share, target), (1 - mix.share, target[mix.order]))
            parts = [share * self.alignment(similarity, goal, clean) for share, goal in ends]
            terms["prototype"] = self.prototype_weight * (parts[0] + parts[1])
        return terms

    def alignment(
        self, similarity: Float[Tensor, "B C"], target: Float[Tensor, "B C"], clean: Tensor
    ) -> Float[Tensor, ""]:
        """Divergence on the partial split, squared error on the unlabeled one."""
        squares = self.square_scale * losses.squared_error(similarity[~clean].softmax(1), target[~clean])
        return losses.divergence(target[clean], similarity[clean]) + self.unlabeled_weight * squares


def own_mean(own: Network, views: tuple[Float[Tensor, "B F"], ...]) -> Float[Tensor, "B C"]:
    """The mean prediction of a network over the features of several views."""
    return torch.stack([own.head(features).float().softmax(1) for features in views]).mean(0)
