"""Co-teaching. Han, Yao, Yu, Niu, Xu, Hu, Tsang, Sugiyama. Co-teaching: Robust Training of Deep Neural Networks
with Extremely Noisy Labels. NeurIPS 2018 (arXiv 1804.06872).

In every batch each network picks the share R(e) of the images with the smallest cross-entropy, and the other
network learns from them:

    R(e) = 1 - tau min(e / T_k, 1),   tau = the noise rate,   e from 0

The paper knows the noise rate. Here it is estimated from what the annotators' agreement says, see
`zerolabel.annotations.noise`, unless it is given. Ours: the number of images kept is rounded up, so that a batch of
one is learned from; an image labeled by a human is always kept, beyond that share; one without a vote is left out.

Against the authors' code: documented difference, the number of images kept is rounded up, theirs down; hand-computed
cases (test_coteaching).
"""

from collections.abc import Iterable
from functools import partial

from jaxtyping import Float
from torch import Tensor

from zerolabel.annotations import Annotations, noise
from zerolabel.blocks import losses, targets
from zerolabel.learners.base import Batch, Epoch, Learner, Losses, Pass, View
from zerolabel.networks import Network, twin
from zerolabel.options import Epochs, Share


class CoTeaching(Learner):
    """Two networks choose for each other the images that are learned from.

    Args:
        noise_rate: tau, the share of wrong labels; none estimates it from the annotations.
        ramp: T_k, epochs over which the share that is kept falls to 1 - tau.
        view: that is learned from; the paper's is "weak", the default is that of the cross-entropy baseline.
    """

    target: Float[Tensor, "N C"]

    def __init__(
        self,
        network: Network,
        annotations: Annotations,
        *,
        noise_rate: Share | None = None,
        ramp: Epochs = 10,
        view: View = "strong",
    ) -> None:
        super().__init__(network, annotations)
        self.noise_rate = noise.noise_rate(noise_rate, noise.label_noise, annotations)
        self.ramp, self.views = ramp, (view,)
        self.peer = twin(network)
        chosen = targets.initial_labels(self.scores, self.candidates, self.labels)
        self.register_buffer("target", targets.one_hot(chosen, len(annotations.classes)))

    @property
    def networks(self) -> tuple[Network, ...]:
        """Both networks."""
        return (self.network, self.peer)

    def passes(self, epoch: Epoch) -> Iterable[Pass]:
        """One pass over the labeled images, both networks at once."""
        share = targets.kept_share(self.noise_rate, epoch.number, self.ramp)
        self.figures = {"kept": share, "noise_rate": self.noise_rate}
        yield Pass(partial(self.training_step, share), (self.labeled,))

    def training_step(self, share: float, batch: Batch) -> Losses:
        """Cross-entropy of each network on what the other one picked."""
        target, human = self.target[batch.index], self.labels[batch.index] >= 0
        a, b = (network(batch.views[0]) for network in self.networks)
        by_a, by_b = (
            targets.smallest(-(losses.log_probabilities(logits.detach()) * target).sum(1), share, human)
            for logits in (a, b)
        )
        return {
            "supervised_a": losses.cross_entropy(a[by_b], target[by_b]),
            "supervised_b": losses.cross_entropy(b[by_a], target[by_a]),
        }
