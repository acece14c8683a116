"""FREDIS. Qiao, Xu, Lv, Ren, Geng. FREDIS: A Fusion Framework of Refinement and Disambiguation for Unreliable
Partial Label Learning. ICML 2023.

    L = consistency sum_v KL(c || p(x_v)) - complement sum_v sum_{j not in S} log(1 - p_j(x_v)),   p = softmax(z / T)
    c = norm(Y * geometric mean of p over the views), after the loss
    every few epochs, with the gap d_j = max_k P_k - P_j and P the first view's prediction at the last visit:
        refinement:      add j to S where d_j < theta
        disambiguation:  drop j from S where d_j > delta, after delta fell by steps until that is b times as many
        c = norm(Y * P);  theta grows and delta shrinks where fewer than `change_size` entries changed

The views are a weak one and two strong ones. Where more could change than may, so many of all entries that pass the
threshold are drawn, of which some change nothing. An image that would lose its last candidate keeps the set it had.

Against the authors' code (palm-ml/fredis @ 2368c2e): exact in losses, confidence and one correction but for its random
draws (test_fredis). Documented differences: it starts from a network that was trained for 250 epochs, so that its first
correction follows the first epoch, here the first interval; it puts averaged weights into the network at each
correction; its first view is the image as it is. Ours: delta does not fall below 0; a training of fewer than four
intervals corrects three times; `change_size` is at most a tenth of the images.
"""

from collections.abc import Iterable
from math import floor

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from zerolabel.annotations import Annotations
from zerolabel.blocks import losses, targets
from zerolabel.learners.base import Batch, Epoch, Learner, Losses, Pass, Views, views_of
from zerolabel.networks import Network
from zerolabel.options import Count, Rounds, Share, Temperature, Weight

HIGHEST, LOWEST = 0.9, 0.1


class FREDIS(Learner):
    """Candidate sets may grow as well as shrink, so that a label missing from the set can be found.

    A set given by a person is never changed; an image without candidates is left out.

    Args:
        consistency: lambda, weight of the divergence.
        complement: alpha, weight of the classes outside the set.
        temperature: T, of the predictions.
        interval: epochs between two corrections.
        change_size: most entries that one correction adds.
        dropped_per_added: b, how many entries are dropped for each that is added.
        theta: first threshold on the gap below which a class is added.
        delta: first threshold on the gap above which a candidate is dropped.
        theta_step: by how much theta grows.
        delta_step: the steps by which delta shrinks.
        view: that is learned from, or "three" as in the code: a weak one and two strong ones.
    """

    confidence: Float[Tensor, "N C"]
    posterior: Float[Tensor, "N C"]
    theta: Float[Tensor, ""]
    delta: Float[Tensor, ""]

    def __init__(
        self,
        network: Network,
        annotations: Annotations,
        *,
        consistency: Weight = 1.0,
        complement: Weight = 1.0,
        temperature: Temperature = 1.0,
        interval: Rounds = 20,
        change_size: Count = 500,
        dropped_per_added: Count = 2,
        theta: Share = 1e-6,
        delta: Share = 1.0,
        theta_step: Share = 1e-6,
        delta_step: Share = 1e-6,
        view: Views = "three",
    ) -> None:
        super().__init__(network, annotations)
        self.views = views_of(view)
        self.consistency, self.complement, self.temperature = consistency, complement, temperature
        self.interval, self.dropped_per_added = interval, dropped_per_added
        self.change_size = max(1, min(change_size, len(annotations) // 10))
        self.theta_step, self.delta_step = theta_step, delta_step
        self.register_buffer("confidence", targets.uniform_over(annotations.candidates))
        self.register_buffer("posterior", torch.zeros_like(self.confidence))
        self.register_buffer("theta", torch.tensor(theta))
        self.register_buffer("delta", torch.tensor(delta))

    def passes(self, epoch: Epoch) -> Iterable[Pass]:
        """A correction where one is due; then one pass over the images that have candidates."""
        self.figures = {"added": 0.0, "dropped": 0.0}
        if epoch.number > 0:
            epochs = round(epoch.number / epoch.progress)
            if epoch.number % max(1, min(self.interval, -(-epochs // 4))) == 0:
                self.correct()
        yield Pass(self.training_step, (self.labeled,))

    @torch.no_grad()
    def correct(self) -> None:
        """Refinement and disambiguation."""
        gap = self.posterior.amax(1, keepdim=True) - self.posterior
        free = (self.candidates.any(1) & (self.labels < 0))[:, None]
        before = self.candidates.clone()
        near = free & (gap < self.theta)
        room = self.change_size
        added = int((near & ~before).sum())
        self.candidates |= some(near, room) if added > room else near
        self.lower(gap[free & before], self.dropped_per_added * min(added, room))
        far, room = free & (gap > self.delta), self.dropped_per_added * room
        self.candidates &= ~(some(far, room) if int((far & before).sum()) > room else far)
        emptied = ~self.candidates.any(1, keepdim=True)
        self.candidates |= before & emptied
        self.confidence.copy_(targets.restrict(self.posterior, self.candidates))
        n_added, n_dropped = int((self.candidates & ~before).sum()), int((before & ~self.candidates).sum())
        if n_added + n_dropped < self.change_size and self.theta < HIGHEST and self.delta > LOWEST:
            self.theta += self.theta_step
            self.delta -= self.delta_step
        self.figures = {"added": float(n_added), "dropped": float(n_dropped)}

    def lower(self, gaps: Float[Tensor, " K"], wanted: int) -> None:
        """Let delta fall by whole steps until so many gaps of candidates are above it, or all that are not zero."""
        ordered = gaps[gaps > 0].sort(descending=True).values.double()
        wanted = min(wanted, len(ordered))
        if wanted and self.delta_step and ordered[wanted - 1] <= self.delta:
            steps = floor((float(self.delta) - float(ordered[wanted - 1])) / self.delta_step) + 1
            self.delta.sub_(steps * self.delta_step).clamp_min_(0)

    def training_step(self, batch: Batch) -> Losses:
        """Both terms with the confidence of the last visit, which then follows the network."""
        candidates, confidence = self.candidates[batch.index], self.confidence[batch.index]
        logits = [self.network(view) / self.temperature for view in batch.views]
        with torch.no_grad():
            log_p = torch.stack([losses.log_probabilities(z) for z in logits])
            self.posterior[batch.index] = log_p[0].exp()
            self.confidence[batch.index] = targets.restrict(log_p.mean(0).exp(), candidates)
        return {
            "consistency": self.consistency * torch.stack([losses.divergence(confidence, z) for z in logits]).sum(),
            "complement": self.complement * torch.stack([losses.complement(z, candidates) for z in logits]).sum(),
        }


def some(entries: Bool[Tensor, "N C"], most: int) -> Bool[Tensor, "N C"]:
    """So many of the entries that are true, drawn at random."""
    places = entries.nonzero()
    drawn = places[torch.randperm(len(places))[:most].to(places.device)]
    kept = torch.zeros_like(entries)
    kept[drawn[:, 0], drawn[:, 1]] = True
    return kept
