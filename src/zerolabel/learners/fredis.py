"""FREDIS. Qiao, Xu, Lv, Ren, Geng. FREDIS: A Fusion Framework of Refinement and Disambiguation for Unreliable
Partial Label Learning. ICML 2023.

    L = consistency KL(c || p(x)) - complement sum_{j not in S} log(1 - p_j(x)),   c = norm(Y * p)
    every few epochs, with the gap d_j = max_k P_k - P_j and P the prediction of the last visit:
        refinement:      add j to S where d_j < theta
        disambiguation:  drop j from S where d_j >= delta, after delta was lowered until that is b times as many
        c = norm(Y * P);  theta grows and delta shrinks where fewer than `change_size` entries changed

Decided here: corrected sets replace S in both terms from then on. Delta is lowered to the gap that gives the number
wanted, not by small steps. Where more could change than may, images are drawn at random and changed as a whole. The
best candidate is never dropped. Nothing is corrected before the first interval is over; a training of fewer than four
intervals corrects three times. `change_size` is at most a tenth of the images. The paper trains on three views in
the manner of CR-DPLL from a network trained before; here, as in the benchmark PLENCH, on one view from the start.
"""

from collections.abc import Iterable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from zerolabel.annotations import Annotations
from zerolabel.blocks import losses, targets
from zerolabel.learners.base import Batch, Epoch, Learner, Losses, Pass, View
from zerolabel.networks import Network
from zerolabel.options import Count, Rounds, Share, Weight

HIGHEST, LOWEST = 0.9, 0.1


class FREDIS(Learner):
    """Candidate sets may grow as well as shrink, so that a label missing from the set can be found.

    A set given by a person is never changed; an image without candidates is left out.

    Args:
        consistency: lambda, weight of the divergence.
        complement: alpha, weight of the classes outside the set.
        interval: epochs between two corrections.
        change_size: most entries that one correction adds.
        dropped_per_added: b, how many entries are dropped for each that is added.
        theta: first threshold on the gap below which a class is added.
        delta: first threshold on the gap from which a candidate is dropped.
        theta_step: by how much theta grows.
        delta_step: by how much delta shrinks.
        view: that is learned from; the paper's is "weak", the default is that of the cross-entropy baseline.
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
        interval: Rounds = 20,
        change_size: Count = 500,
        dropped_per_added: Count = 2,
        theta: Share = 1e-6,
        delta: Share = 1.0,
        theta_step: Share = 1e-6,
        delta_step: Share = 1e-6,
        view: View = "strong",
    ) -> None:
        super().__init__(network, annotations)
        self.views = (view,)
        self.consistency, self.complement, self.interval = consistency, complement, interval
        self.dropped_per_added = dropped_per_added
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
        added = some(free & ~self.candidates & (gap < self.theta), self.change_size)
        self.candidates |= added
        best = gap.masked_fill(~self.candidates, torch.inf).amin(1, keepdim=True)
        droppable = free & self.candidates & (gap > best)
        gaps = gap[droppable].sort(descending=True).values
        wanted = min(self.dropped_per_added * int(added.sum()), len(gaps))
        if wanted:
            self.delta.copy_(torch.minimum(self.delta, gaps[wanted - 1]))
        dropped = some(droppable & (gap >= self.delta), self.dropped_per_added * self.change_size)
        self.candidates &= ~dropped
        self.confidence.copy_(targets.restrict(self.posterior, self.candidates))
        n_added, n_dropped = int(added.sum()), int(dropped.sum())
        if n_added + n_dropped < self.change_size and self.theta < HIGHEST and self.delta > LOWEST:
            self.theta += self.theta_step
            self.delta -= self.delta_step
        self.figures = {"added": float(n_added), "dropped": float(n_dropped)}

    def training_step(self, batch: Batch) -> Losses:
        """Both terms with the confidence of the last visit, which then follows the network."""
        logits, candidates = self.network(batch.views[0]), self.candidates[batch.index]
        confidence = self.confidence[batch.index]
        with torch.no_grad():
            p = logits.float().softmax(1)
            self.posterior[batch.index] = p
            self.confidence[batch.index] = targets.restrict(p, candidates)
        return {
            "consistency": self.consistency * losses.divergence(confidence, logits),
            "complement": self.complement * losses.complement(logits, candidates),
        }


def some(moves: Bool[Tensor, "N C"], most: int) -> Bool[Tensor, "N C"]:
    """The moves of images in random order, of as many whole images as do not exceed the number."""
    order = torch.randperm(len(moves)).to(moves.device)
    kept = torch.zeros(len(moves), dtype=torch.bool, device=moves.device)
    kept[order] = moves[order].sum(1).cumsum(0) <= most
    return moves & kept[:, None]
