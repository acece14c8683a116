"""UNICON. Karim, Rizve, Rahnavard, Mian, Shah. UNICON: Combating Label Noise Through Uniform Selection and
Contrastive Learning. CVPR 2022 (arXiv 2203.14542).

After a warm-up, before each network's pass it is measured how far the mean prediction of both networks is from the
given label y; equally many images of every class are taken, those that are nearest:

    d     = JSD(y, (p_a + p_b) / 2) in nats, from 0 to log 2
    d_cut = mean d, and if that is above 0.7, mean d - (mean d - min d) / 5;   R = share of images with d < d_cut
    D_l   = of each class the R N / C images with the smallest d, rounded down
    t     = sharpen(w y + (1 - w) mean_k p_own(x_w^k), T),   w = 1 if d < 1/2, else 1 - d      in D_l
    t     = sharpen(mean_k (p_own(x_w^k) + p_peer(x_w^k)) / 2, T)          in the rest D_u
    L     = CE(t, p) + lambda_u(e) sum_j (p_j - t_j)^2 / C + KL(prior || mean p) + lambda_c SimCLR

on MixUp of the strong views; SimCLR brings two strong views of an image of D_u together against the batch. lambda_u
rises as in `dividemix`. While it labels, the own network is in training mode; each view of each split has a forward
pass of its own, those of SimCLR too.

As in the code, 0.7 lies above log 2, so that the second rule for d_cut never acts; the squared error is a mean over
images and classes. Decided here: at least one image of each class is taken; a human label is always in D_l with a
one-hot target; the projector and its width.

Against the authors' code (nazmul-karim170/UNICON-Noisy-Label @ 616dc49): exact in distance, selection, weight and
contrast (golden file unicon); the step is `dividemix`'s (golden file dividemix) on strong views.
"""

from collections.abc import Iterable
from functools import partial
from math import log

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from zerolabel.annotations import Annotations
from zerolabel.blocks import losses, mixup, targets
from zerolabel.learners.base import Batch, Epoch, Learner, Losses, Pass
from zerolabel.networks import Network, mean_probabilities, projector, twin
from zerolabel.options import Concentration, Count, Epochs, Positive, Prior, Temperature, Weight


class UNICON(Learner):
    """A selection that is uniform over classes, and contrastive learning on what it leaves.

    Args:
        warm_up: epochs on the given labels.
        cutoff: mean divergence in nats above which fewer images are taken; the paper's d_mu. It acts below log 2.
        strictness: divides the distance from the mean to the smallest divergence then; the paper's tau.
        temperature: T of the sharpening.
        mixup: parameter of the Beta distribution; 0 does not mix.
        unlabeled_weight: final lambda_u, of the squared error's mean over classes.
        ramp: epochs after warm-up over which lambda_u rises linearly from 0, step by step; 0 has it at once.
        penalty: weight of the divergence of the mean prediction from the prior.
        prior: "uniform", as the paper assumes, "estimated", or one weight per class.
        contrast_weight: lambda_c.
        contrast_temperature: of the contrastive similarities.
        embedding: dimension in which they are taken.
    """

    views = ("weak", "weak", "strong", "strong")
    initial_labels: Int[Tensor, " N"]
    prior: Float[Tensor, " C"]

    def __init__(
        self,
        network: Network,
        annotations: Annotations,
        *,
        warm_up: Epochs = 10,
        cutoff: Weight = 0.7,
        strictness: Positive = 5.0,
        temperature: Temperature = 0.5,
        mixup: Concentration = 4.0,
        unlabeled_weight: Weight = 30.0,
        ramp: Epochs = 16,
        penalty: Weight = 1.0,
        prior: Prior = "uniform",
        contrast_weight: Weight = 0.025,
        contrast_temperature: Temperature = 0.05,
        embedding: Count = 128,
    ) -> None:
        super().__init__(network, annotations)
        self.warm_up, self.cutoff, self.strictness, self.ramp = warm_up, cutoff, strictness, ramp
        self.temperature, self.mixup, self.penalty = temperature, mixup, penalty
        self.unlabeled_weight = unlabeled_weight / len(annotations.classes)
        self.contrast_weight, self.contrast_temperature = contrast_weight, contrast_temperature
        self.peer = twin(network)
        self.projector, self.peer_projector = (projector(network.feature_dim, embedding) for _ in range(2))
        self.register_buffer("initial_labels", targets.initial_labels(self.scores, self.candidates, self.labels))
        self.register_buffer("prior", targets.class_prior(self.scores, prior))

    @property
    def networks(self) -> tuple[Network, ...]:
        """Both networks."""
        return (self.network, self.peer)

    def passes(self, epoch: Epoch) -> Iterable[Pass]:
        """Warm-up of each network alone; then a selection and a pass for each."""
        a, b = (self.network, self.projector), (self.peer, self.peer_projector)
        since = epoch.number - self.warm_up
        if since < 0:
            for network in self.networks:
                yield Pass(partial(self.warm_up_step, network), (self.labeled,), views=("weak",))
            return
        weight = targets.ramped(self.unlabeled_weight, since, self.ramp)
        p_b = epoch.predict(self.peer)
        for name, (own, head), (peer, _) in (("clean_a", a, b), ("clean_b", b, a)):
            p_a = epoch.predict(self.network)  # again before the second pass, after its own
            d = self.distance((p_a + p_b) / 2)
            chosen = self.select(d)
            self.figures = {**self.figures, name: float(chosen.sum())}
            step = partial(self.co_step, own, head, peer, self.trust(d), weight)
            yield Pass(step, targets.groups(chosen, self.labels >= 0))

    def warm_up_step(self, network: Network, batch: Batch) -> Losses:
        """Cross-entropy with the given label."""
        logits = network(batch.views[0])
        return {
            "warm_up": losses.cross_entropy(logits, targets.one_hot(self.initial_labels[batch.index], logits.shape[1]))
        }

    def distance(self, p: Float[Tensor, "N C"]) -> Float[Tensor, " N"]:
        """Divergence of the predictions from the given labels; 0 for a person's, log 2 where there is no label."""
        d = losses.jensen_shannon(p, targets.one_hot(self.initial_labels, p.shape[1])).clamp(0, log(2))
        return d.masked_fill(self.initial_labels < 0, log(2)).masked_fill(self.labels >= 0, 0.0)

    def trust(self, d: Float[Tensor, " N"]) -> Float[Tensor, " N"]:
        """Weight of the given label in the target: 1 below a half, else 1 - d."""
        return torch.where(d < 0.5, 1.0, 1 - d)

    def select(self, d: Float[Tensor, " N"]) -> Bool[Tensor, " N"]:
        """Equally many images of every class; the mean is taken over the images that have a label."""
        n_classes, known = self.candidates.shape[1], d[self.labeled]
        if len(known) == 0:
            return torch.zeros_like(d, dtype=torch.bool)
        cut = known.mean()
        if cut > self.cutoff:
            cut = cut - (cut - known.min()) / self.strictness
        share = int((known < cut).sum()) / len(known)
        count = max(int(share * len(known) / n_classes), 1)
        return targets.smallest_per_class(d, self.initial_labels, torch.full((n_classes,), count, device=d.device))

    def co_step(
        self,
        own: Network,
        head: nn.Module,
        peer: Network,
        w: Float[Tensor, " N"],
        weight: float,
        trusted: Batch,
        rest: Batch,
    ) -> Losses:
        """One step of one network.

        Args:
            own: the network that learns.
            head: its projector.
            peer: labels the rest beside it.
            w: weight of the given label in the target.
            weight: lambda_u over C at the start of the pass.
            trusted: selected images.
            rest: the others.
        """
        n, index = len(trusted.index), torch.cat([trusted.index, rest.index])
        own.train(), peer.eval()
        target = self.guess(own, peer, w, trusted, rest)
        z = F.normalize(torch.cat([head(own.features(view)).float() for view in rest.views[2:]]), dim=1)
        clean = ((torch.arange(len(index), device=index.device) < n) | (self.labels[index] >= 0)).repeat(2)
        strong = [torch.cat(pair) for pair in zip(trusted.views[2:], rest.views[2:], strict=True)]
        mix = mixup.draw(len(clean), self.mixup, index.device)
        logits, mixed = own(mix(torch.cat(strong))).float(), mix(target.repeat(2, 1))
        risen = weight + targets.ramped(self.unlabeled_weight, trusted.progress, self.ramp)
        return {
            "labeled": losses.cross_entropy(logits[clean], mixed[clean]),
            "unlabeled": min(risen, self.unlabeled_weight)
            * losses.squared_error(logits[~clean].softmax(1), mixed[~clean]),
            "penalty": self.penalty * losses.prior_divergence(logits, self.prior),
            "contrast": self.contrast_weight * self.contrast(z),
        }

    @torch.no_grad()
    def guess(
        self, own: Network, peer: Network, w: Float[Tensor, " N"], trusted: Batch, rest: Batch
    ) -> Float[Tensor, "B C"]:
        """The targets of the selected images, then those of the rest, from weak views."""
        shared = (mean_probabilities(own, rest.views[:2]) + mean_probabilities(peer, rest.views[:2])) / 2
        index = torch.cat([trusted.index, rest.index])
        trust, given = w[trusted.index, None], targets.one_hot(self.initial_labels[index], shared.shape[1])
        refined = trust * given[: len(trust)] + (1 - trust) * mean_probabilities(own, trusted.views[:2])
        target = targets.sharpen(torch.cat([refined, shared]), self.temperature)
        return target.where(self.labels[index, None] < 0, given)

    def contrast(self, z: Float[Tensor, "B D"]) -> Float[Tensor, ""]:
        """SimCLR's loss: rows i and i + B/2 are the same image; every other row is another one."""
        itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
        return losses.supervised_contrastive(z @ z.T / self.contrast_temperature, itself.roll(len(z) // 2, 1), itself)
