"""CPL. Zhang, Wei, Liu, Feng. Candidate Pseudolabel Learning: Enhancing Vision-Language Models by Prompt Tuning with
Unlabeled Data. ICML 2024 (arXiv 2406.10502).

    S: see `candidates.quantiles` with the levels alpha and beta;   q = norm(p Y)
    learned from: of each class the K_t images of largest p Y, an image for its best candidate that has room
    K_t = floor(t floor(N / T) / C) in round t of T
    L = -log sum_{j in S} w_j p_j(x_w),   w = q in the first round, then 1

The sets are formed again in each of ten rounds: first of the annotators' scores, then of the network's predictions; an
image whose set is empty, or that no class chooses, is left out of the round. The paper tunes alpha and beta to each
data set; ours are those that it has for EuroSAT. Of its partial-label losses the first, CC, is here.

Against the authors' code (commit c711980): sets, K_t and the chosen images are exact. It differs in that a class gets
one image where K_t is 0, as in `grip`; that what was learned continues from round to round, where the code starts from
a fresh prompt; and that a class's share of the images follows a prior, uniform by default as there. A human label is
a set of one, always learned from, and takes no room.
"""

from collections.abc import Iterable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from zerolabel.annotations import Annotations, candidates
from zerolabel.blocks import losses, pseudo_labels, targets
from zerolabel.learners.base import Batch, Epoch, Learner, Losses, Pass
from zerolabel.networks import Network
from zerolabel.options import Prior, Rounds, Share


class CPL(Learner):
    """Candidate sets by quantiles of the predictions, formed again in every round; the most confident in each class
    are learned.

    Args:
        rounds: how often sets are formed; the epochs are distributed over them.
        alpha: the larger, the more classes an image keeps.
        beta: the larger, the fewer images keep a class.
        prior: the class prior that decides how many images a class gets: "uniform", as in the paper, "estimated" from
            the scores, or one weight per class.
    """

    views = ("weak",)
    sets: Bool[Tensor, "N C"]
    weight: Float[Tensor, "N C"]
    chosen: Bool[Tensor, " N"]
    round: Int[Tensor, ""]
    prior: Float[Tensor, " C"]

    def __init__(
        self,
        network: Network,
        annotations: Annotations,
        *,
        rounds: Rounds = 10,
        alpha: Share = 0.75,
        beta: Share = 0.8,
        prior: Prior = "uniform",
    ) -> None:
        super().__init__(network, annotations)
        self.rounds, self.alpha, self.beta = rounds, alpha, beta
        self.register_buffer("prior", targets.class_prior(self.scores, prior))
        self.register_buffer("sets", torch.zeros_like(self.candidates))
        self.register_buffer("weight", torch.ones_like(self.scores))
        self.register_buffer("chosen", torch.zeros_like(self.labels, dtype=torch.bool))
        self.register_buffer("round", torch.tensor(0))

    def passes(self, epoch: Epoch) -> Iterable[Pass]:
        """One pass over the images that are chosen in this round."""
        now = int(epoch.progress * self.rounds + 1e-9) + 1
        if now > self.round:
            p = self.scores if self.round == 0 else epoch.predict(self.network)
            self.sets.copy_(self.form(p))
            self.chosen.copy_(self.choose(p, self.sets, now) >= 0)
            first = self.round == 0
            self.weight.copy_(targets.restrict(p.to(self.weight), self.sets) if first else torch.ones_like(self.weight))
            self.round.fill_(now)
        n, entries = float(self.chosen.sum()), float(self.sets[self.chosen].sum())
        self.figures = {"images": n, "candidates": entries / max(n, 1.0)}
        yield Pass(self.training_step, (self.chosen.nonzero().squeeze(1),))

    def form(self, p: Float[Tensor, "N C"]) -> Bool[Tensor, "N C"]:
        """The candidate sets of a round; an image labeled by a human takes no part in the quantiles."""
        human = (self.labels >= 0)[:, None]
        found = candidates.quantiles(p.float().masked_fill(human, 0).cpu(), self.alpha, self.beta)
        labeled = targets.one_hot(self.labels, p.shape[1]).bool()
        return torch.where(human, labeled, found.to(labeled.device))

    def choose(self, p: Float[Tensor, "N C"], sets: Bool[Tensor, "N C"], now: int) -> Int[Tensor, " N"]:
        """The class that each image is learned for, -1 for none; a human label is its image's."""
        free = (self.labels < 0) & p.any(1)
        counts = pseudo_labels.counts_for(
            self.prior, int(free.sum()), k=0, round_=now, rounds=self.rounds, growing=True
        )
        rows = (free & sets.any(1)).nonzero().squeeze(1)
        found = pseudo_labels.top_per_class((p * sets)[rows], counts)
        inside = sets[rows].gather(1, found.clamp_min(0)[:, None]).squeeze(1)
        chosen = self.labels.clone()
        chosen[rows] = found.where(inside, -1)
        return chosen

    def training_step(self, batch: Batch) -> Losses:
        """``-log sum_{j in S} w_j p_j``."""
        logits, sets = self.network(batch.views[0]), self.sets[batch.index]
        return {"partial": losses.partial_cross_entropy(logits, sets, self.weight[batch.index], full_sets=True)}
