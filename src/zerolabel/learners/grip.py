"""FPL, IFPL and GRIP. Menghini, Delworth, Bach. Enhancing CLIP with CLIP: Exploring Pseudolabeling for Limited-Label
Prompt Tuning. NeurIPS 2023 (arXiv 2306.01669).

    L = CE(labeled) + CE(pseudo-labeled),    pseudo-labeled: the K most probable images of each class

FPL chooses K = 16 once, from the annotators' scores (``rounds=1, growing=false``); IFPL chooses again in each of ten
rounds, with the trained network (``growing=false``); GRIP lets K grow by rounds until all images are used.

With classes of which humans labeled all images (transductive zero-shot learning), the others' pseudo-labels come
from the probabilities over their names alone: the columns of the seen classes are left out and rows are scaled to 1.
from typing import Annotated

Where the paper and its code are silent or at odds: an image is chosen for one class at most, unless ``boards=true``
asks for the code's boards (`pseudo_labels.boards`); the first round takes the annotators' scores and the next ones the
network's predictions; what was learned continues from round to round; both terms are means over a batch with weight 1,
where the code has two different ratios; a class's share of the images follows a prior, the paper's being uniform. No
part of the pseudo-labels is set aside: the last epoch counts.

Against the authors' code: number of pseudo-labels exact, selection exact with ``boards=true`` (golden/grip).
"""

from collections.abc import Iterable
from typing import Annotated

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from zerolabel.annotations import Annotations
from zerolabel.blocks import losses, pseudo_labels, targets
from zerolabel.errors import InputError
from zerolabel.learners.base import Batch, Epoch, Learner, Losses, Pass
from zerolabel.networks import Network
from zerolabel.options import Count, Prior, Range, Rounds, Weight


class GRIP(Learner):
    """The most probable images of each class are its pseudo-labels, more of them in every round.

    Args:
        rounds: how often pseudo-labels are chosen; the epochs are distributed over them.
        k: images per class where the number does not grow.
        growing: off keeps the number: IFPL, and FPL with one round.
        prior: the class prior that decides how many images a class gets: "uniform", as in the paper, "estimated" from
            the scores, or one weight per class.
        seen: ids of the classes whose images humans labeled, all of them: pseudo-labels are for the others alone
            (transductive zero-shot learning).
        boards: whether images are chosen as the code does it, which may give an image several pseudo-labels.
        human_weight: of the cross-entropy on images labeled by humans.
    """

    views = ("weak",)
    chosen: Bool[Tensor, "N C"]
    round: Int[Tensor, ""]
    prior: Float[Tensor, " C"]

    def __init__(
        self,
        network: Network,
        annotations: Annotations,
        *,
        rounds: Rounds = 10,
        k: Count = 16,
        growing: bool = True,
        prior: Prior = "uniform",
        seen: tuple[Annotated[int, Range(0, 1_000_000)], ...] = (),
        boards: bool = False,
        human_weight: Weight = 1.0,
    ) -> None:
        super().__init__(network, annotations)
        if not set(seen) < set(range(len(annotations.classes))):
            raise InputError(f"seen holds some, not all, of the ids 0 to {len(annotations.classes) - 1}, not {seen}.")
        self.seen = list(seen)
        self.rounds, self.k, self.growing, self.boards, self.human_weight = rounds, k, growing, boards, human_weight
        self.register_buffer("prior", targets.class_prior(self.scores, prior))
        self.register_buffer("chosen", torch.zeros_like(self.candidates))
        self.register_buffer("round", torch.tensor(0))

    def passes(self, epoch: Epoch) -> Iterable[Pass]:
        """One pass over the pseudo-labeled images, with those labeled by a human beside them."""
        now = int(epoch.progress * self.rounds + 1e-9) + 1
        if now > self.round:
            p = self.scores if self.round == 0 else epoch.predict(self.network)
            self.chosen.copy_(self.select(p, now))
            self.round.fill_(now)
        human = self.labels >= 0
        pseudo = self.chosen.nonzero()[:, 0]  # an image on several boards comes once for each
        self.figures = {"pseudo_labeled": float(len(pseudo))}
        yield Pass(self.training_step, (pseudo, human.nonzero().squeeze(1)))

    def select(self, p: Float[Tensor, "N C"], now: int) -> Bool[Tensor, "N C"]:
        """Pseudo-labels for a round, one of an image or, by the code's boards, some."""
        if not self.boards:
            return targets.one_hot(self.choose(p, now), p.shape[1]).bool()
        rows, unseen, counts = self.asked(p, now)
        chosen = torch.zeros_like(self.candidates)
        chosen[rows[:, None], unseen] = pseudo_labels.boards(targets.normalize(p[rows][:, unseen]), counts)
        return chosen

    def choose(self, p: Float[Tensor, "N C"], now: int) -> Int[Tensor, " N"]:
        """Pseudo-labels for a round, -1 where there is none."""
        rows, unseen, counts = self.asked(p, now)
        chosen = torch.full_like(self.labels, -1)
        found = pseudo_labels.top_per_class(targets.normalize(p[rows][:, unseen]), counts)
        chosen[rows] = torch.where(found >= 0, unseen[found], -1)
        return chosen

    def asked(
        self, p: Float[Tensor, "N C"], now: int
    ) -> tuple[Int[Tensor, " M"], Int[Tensor, " U"], Int[Tensor, " U"]]:
        """The images and the classes that pseudo-labels are for, and how many of each class.

        Images with a human label, or without any probability of these classes, get none.
        """
        is_seen = torch.zeros_like(self.prior, dtype=torch.bool)
        is_seen[self.seen] = True
        unseen = (~is_seen).nonzero().squeeze(1)
        rows = ((self.labels < 0) & p[:, unseen].any(1)).nonzero().squeeze(1)
        prior = self.prior[unseen] / self.prior[unseen].sum()
        counts = pseudo_labels.counts_for(
            prior, len(rows), k=self.k, round_=now, rounds=self.rounds, growing=self.growing
        )
        return rows, unseen, counts

    def training_step(self, pseudo: Batch, human: Batch) -> Losses:
        """Both cross-entropies, in one forward pass; of several pseudo-labels the mean."""
        logits = self.network(torch.cat([pseudo.views[0], human.views[0]]))
        n, n_classes = len(pseudo.index), logits.shape[1]
        return {
            "pseudo": losses.cross_entropy(logits[:n], targets.normalize(self.chosen[pseudo.index].float())),
            "human": self.human_weight
            * losses.cross_entropy(logits[n:], targets.one_hot(self.labels[human.index], n_classes)),
        }
