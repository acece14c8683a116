"""Co-teaching. Han, Yao, Yu, Niu, Xu, Hu, Tsang, Sugiyama. Co-teaching: Robust Training of Deep Neural Networks
with Extremely Noisy Labels. NeurIPS 2018 (arXiv 1804.06872).

In every batch each network picks the share R(e) of the images with the smallest cross-entropy, and the other
network learns from them:

    R(e) = 1 - tau min(e / T_k, 1),   tau = the noise rate,   e from 0

The paper knows the noise rate. Here it is estimated from what the annotators' agreement says, see
`zerolabel.annotations.noise`, unless it is given. The number of images kept is rounded down as in the code, where the
paper's "at least" would round up. Ours: one image at least is kept; an image labeled by a human always is, beyond that
share; one without a vote is left out.

Against the authors' code (bhanML/Co-teaching @ 07a0f57): exact in what is picked and exchanged (test_coteaching).
Documented differences: the code divides the mean over the kept images by their number once more, which Adam cancels;
its share falls from the first epoch on and reaches 1 - tau after T_k - 1 of them; and from epoch 80 on Adam's first
momentum is 0.1.
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
