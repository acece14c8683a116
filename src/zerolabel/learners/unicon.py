"""UNICON. Karim, Rizve, Rahnavard, Mian, Shah. UNICON: Combating Label Noise Through Uniform Selection and
Contrastive Learning. CVPR 2022 (arXiv 2203.14542).

After a warm-up, each epoch measures how far the mean prediction of both networks is from the given label y, and
takes equally many images of every class, those that are nearest:

    d     = JSD(y, (p_a + p_b) / 2), in [0, 1]
    d_cut = mean d, and if that is above 0.7, mean d - (mean d - min d) / 5;   R = share of images with d < d_cut
    D_l   = of each class the R N / C images with the smallest d
    t     = sharpen((1 - d) y + d mean_k p_own(x_w^k), T)         in D_l
    t     = sharpen(mean_k (p_own(x_w^k) + p_peer(x_w^k)) / 2, T)   in the rest D_u
    L     = CE(t, p) + lambda_u(e) MSE(t, p) + KL(prior || mean p) + lambda_c SimCLR

on MixUp of the strong views; SimCLR brings two strong views of an image of D_u together against the batch.
Decided here: the squared error is summed over classes and `unlabelled_weight` divided by their number, for the code
takes the mean over classes; one selection an epoch serves both networks; a class that has fewer images than its part
gives all; a person's label is always in D_l with a one-hot target; the contrastive temperature and embedding.
"""

from collections.abc import Iterable
from functools import partial

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from zerolabel.annotations import Annotations
from zerolabel.blocks import losses, mixup, targets
from zerolabel.learners.base import Batch, Epoch, Learner, Losses, Pass
from zerolabel.networks import Network, mean_probabilities, projector, twin


class UNICON(Learner):
    """A selection that is uniform over classes, and contrastive learning on what it leaves.

    Args:
        warm_up: epochs on the given labels.
        cutoff: mean divergence above which fewer images are taken; the paper's d_mu.
        strictness: divides the distance from the mean to the smallest divergence then; the paper's tau.
        temperature: T of the sharpening.
        mixup: parameter of the Beta distribution; 0 does not mix.
        unlabelled_weight: final lambda_u, of the squared error's mean over classes.
        ramp: epochs after warm-up over which lambda_u rises linearly.
        penalty: weight of the divergence of the mean prediction from the prior.
        prior: "uniform", as the paper assumes, "estimated", or one weight per class.
        contrast_weight: lambda_c.
        contrast_temperature: of the contrastive similarities.
        embedding: dimension in which they are taken.
    """

    views = ("weak", "weak", "strong", "strong")
    given: Int[Tensor, " N"]
    prior: Float[Tensor, " C"]

    def __init__(
        self,
        network: Network,
        annotations: Annotations,
        *,
        warm_up: int = 10,
        cutoff: float = 0.7,
        strictness: float = 5.0,
        temperature: float = 0.5,
        mixup: float = 4.0,
        unlabelled_weight: float = 30.0,
        ramp: int = 16,
        penalty: float = 1.0,
        prior: str | tuple[float, ...] = "uniform",
        contrast_weight: float = 0.025,
        contrast_temperature: float = 0.07,
        embedding: int = 128,
    ) -> None:
        super().__init__(network, annotations)
        self.warm_up, self.cutoff, self.strictness, self.ramp = warm_up, cutoff, strictness, ramp
        self.temperature, self.mixup, self.penalty = temperature, mixup, penalty
        self.unlabelled_weight = unlabelled_weight / len(annotations.classes)
        self.contrast_weight, self.contrast_temperature = contrast_weight, contrast_temperature
        self.peer = twin(network)
        self.projector, self.peer_projector = (projector(network.feature_dim, embedding) for _ in range(2))
        self.register_buffer("given", targets.given(self.scores, self.candidates, self.labels))
        self.register_buffer("prior", targets.class_prior(self.scores, prior))

    @property
    def networks(self) -> tuple[Network, ...]:
        """Both networks."""
        return (self.network, self.peer)

    def passes(self, epoch: Epoch) -> Iterable[Pass]:
        """Warm-up of each network alone; then one selection, and a pass for each."""
        a, b = (self.network, self.projector), (self.peer, self.peer_projector)
        since = epoch.number - self.warm_up
        if since < 0:
            for network in self.networks:
                yield Pass(partial(self.warm_up_step, network), (self.labelled,), views=("weak",))
            return
        d = self.distance((epoch.predict(self.network) + epoch.predict(self.peer)) / 2)
        chosen = self.select(d)
        self.figures = {"clean": float(chosen.sum())}
        weight = self.unlabelled_weight * (min((since + 1) / self.ramp, 1.0) if self.ramp else 1.0)
        for (own, head), (peer, _) in ((a, b), (b, a)):
            step = partial(self.co_step, own, head, peer, 1 - d, weight)
            yield Pass(step, targets.groups(chosen, self.labels >= 0))

    def warm_up_step(self, network: Network, batch: Batch) -> Losses:
        """Cross-entropy with the given label."""
        logits = network(batch.views[0])
        return {"warm_up": losses.cross_entropy(logits, targets.one_hot(self.given[batch.index], logits.shape[1]))}

    def distance(self, p: Float[Tensor, "N C"]) -> Float[Tensor, " N"]:
        """Divergence of the predictions from the given labels; 0 for a person's, 1 where there is no label."""
        d = losses.jensen_shannon(p, targets.one_hot(self.given, p.shape[1])).clamp(0, 1)
        return d.masked_fill(self.given < 0, 1.0).masked_fill(self.labels >= 0, 0.0)

    def select(self, d: Float[Tensor, " N"]) -> Bool[Tensor, " N"]:
        """Equally many images of every class; the mean is taken over the images that have a label."""
        n_classes, known = self.candidates.shape[1], d[self.labelled]
        if len(known) == 0:
            return torch.zeros_like(d, dtype=torch.bool)
        cut = known.mean()
        if cut > self.cutoff:
            cut = cut - (cut - known.min()) / self.strictness
        count = int((known < cut).sum()) // n_classes
        return targets.smallest_per_class(d, self.given, torch.full((n_classes,), max(count, 1), device=d.device))

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
        """One step of one network."""
        n, index = len(trusted.index), torch.cat([trusted.index, rest.index])
        views = [torch.cat(pair) for pair in zip(trusted.views, rest.views, strict=True)]
        own.train(), peer.eval()
        target = self.guess(own, peer, w, n, index, views[:2])
        clean = ((torch.arange(len(index), device=index.device) < n) | (self.labels[index] >= 0)).repeat(2)
        mix = mixup.draw(len(clean), self.mixup, index.device)
        logits, mixed = own(mix(torch.cat(views[2:]))).float(), mix(target.repeat(2, 1))
        z = F.normalize(head(own.features(torch.cat(rest.views[2:]))).float(), dim=1)
        return {
            "labelled": losses.cross_entropy(logits[clean], mixed[clean]),
            "unlabelled": weight * losses.squared_error(logits[~clean].softmax(1), mixed[~clean]),
            "penalty": self.penalty * losses.prior_divergence(logits, self.prior),
            "contrast": self.contrast_weight * self.contrast(z),
        }

    @torch.no_grad()
    def guess(
        self, own: Network, peer: Network, w: Float[Tensor, " N"], n: int, index: Tensor, views: list[Tensor]
    ) -> Float[Tensor, "B C"]:
        """The targets of a batch whose first n images are the selected ones."""
        p_own, p_peer = mean_probabilities(own, views), mean_probabilities(peer, [view[n:] for view in views])
        given, trust = targets.one_hot(self.given[index], p_own.shape[1]), w[index[:n], None]
        refined = trust * given[:n] + (1 - trust) * p_own[:n]
        target = targets.sharpen(torch.cat([refined, (p_own[n:] + p_peer) / 2]), self.temperature)
        return target.where(self.labels[index, None] < 0, given)

    def contrast(self, z: Float[Tensor, "B D"]) -> Float[Tensor, ""]:
        """SimCLR's loss: rows i and i + B/2 are the same image; every other row is another one."""
        itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
        return losses.supervised_contrastive(z @ z.T / self.contrast_temperature, itself.roll(len(z) // 2, 1), itself)
