"""CPL. Zhang, Wei, Liu, Feng. Candidate Pseudolabel Learning: Enhancing Vision-Language Models by Prompt Tuning with
Unlabeled Data. ICML 2024 (arXiv 2406.10502).

    L = -log sum_{j in S} p_j(x_w),   S: see `candidates.quantiles` with the levels alpha and beta

The sets are formed anew in each of ten rounds: first of the annotators' scores, then of the network's predictions; an
image whose set is empty is left out of the round. The paper tunes alpha and beta to each data set; ours are those that
it has for EuroSAT. Of its partial-label losses the first, CC, is here. A person's label is a set of one.
"""

from collections.abc import Iterable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from zerolabel.annotations import Annotations, candidates
from zerolabel.blocks import losses, targets
from zerolabel.learners.base import Batch, Epoch, Learner, Losses, Pass
from zerolabel.networks import Network


class CPL(Learner):
    """Candidate sets by quantiles of the predictions, formed anew in every round.

    Args:
        rounds: how often sets are formed; the epochs are shared out among them.
        alpha: the larger, the more classes an image keeps.
        beta: the larger, the fewer images keep a class.
    """

    views = ("weak",)
    sets: Bool[Tensor, "N C"]
    round: Int[Tensor, ""]

    def __init__(
        self, network: Network, annotations: Annotations, *, rounds: int = 10, alpha: float = 0.75, beta: float = 0.8
    ) -> None:
        super().__init__(network, annotations)
        self.rounds, self.alpha, self.beta = rounds, alpha, beta
        self.register_buffer("sets", torch.zeros_like(self.candidates))
        self.register_buffer("round", torch.tensor(0))

    def passes(self, epoch: Epoch) -> Iterable[Pass]:
        """One pass over the images that have candidates in this round."""
        now = int(epoch.progress * self.rounds + 1e-9) + 1
        if now > self.round:
            self.sets.copy_(self.form(self.scores if self.round == 0 else epoch.predict(self.network)))
            self.round.fill_(now)
        rows = self.sets.any(1)
        self.figures = {"images": float(rows.sum()), "candidates": float(self.sets.sum() / rows.sum().clamp_min(1))}
        yield Pass(self.training_step, (rows.nonzero().squeeze(1),))

    def form(self, p: Float[Tensor, "N C"]) -> Bool[Tensor, "N C"]:
        """The candidate sets of a round."""
        found = candidates.quantiles(p.float().cpu(), self.alpha, self.beta).to(self.candidates.device)
        human = targets.one_hot(self.labels, p.shape[1]).bool()
        return torch.where((self.labels >= 0)[:, None], human, found)

    def training_step(self, batch: Batch) -> Losses:
        """``-log sum_{j in S} p_j``."""
        return {"partial": losses.partial_cross_entropy(self.network(batch.views[0]), self.sets[batch.index])}
