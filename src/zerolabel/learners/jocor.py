"""JoCoR. Wei, Feng, Chen, An. Combating Noisy Labels by Agreement: A Joint Training Method with Co-Regularization.
CVPR 2020 (arXiv 2003.02752).

Both networks learn from the same images, those whose joint loss is among the share R(e) of a batch's smallest:

    l_i = (1 - lambda) (CE(y, p_a) + CE(y, p_b)) + lambda (KL(p_a || p_b) + KL(p_b || p_a))
    R(e) = 1 - tau min(e / T_k, 1),   tau = the noise rate,   e from 0

Two networks that differ are likely to agree on a right label only.

The authors tune lambda by data, noise and network, from 0.5 to 0.95. The default is the smallest of these: at 0.9 the
label has a tenth of the loss, and a short training of a convolutional network stays where it began.

As in `coteaching`, the noise rate that the paper knows is estimated from what the annotators' agreement says unless
it is given; the number of images kept is rounded down, yet one is; one labeled by a human is always kept, beyond that
share, and one without a vote is left out.

Against the authors' code (hongxin001/JoCoR @ 20a570e): exact in the joint loss, through both networks, and in what is
kept (test_jocor). Documented differences: the schedule of the share and Adam's momentum, as in `coteaching`; tau is the
noise rate, of which the code takes half where the noise is asymmetric.
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


class JoCoR(Learner):
    """Two networks that are pulled together choose the images that both learn from.

    Args:
        agreement_weight: lambda, of the divergence between the networks; the authors find 0.5 to 0.9 best, by data.
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
        agreement_weight: Share = 0.5,
        noise_rate: Share | None = None,
        ramp: Epochs = 10,
        view: View = "strong",
    ) -> None:
        super().__init__(network, annotations)
        self.noise_rate = noise.noise_rate(noise_rate, noise.label_noise, annotations)
        self.agreement_weight, self.ramp, self.views = agreement_weight, ramp, (view,)
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
        """The joint loss on the images where it is smallest."""
        target, human = self.target[batch.index], self.labels[batch.index] >= 0
        log_a, log_b = (losses.log_probabilities(network(batch.views[0])) for network in self.networks)
        supervised = (1 - self.agreement_weight) * -(target * (log_a + log_b)).sum(1)
        agreement = self.agreement_weight * ((log_a.exp() - log_b.exp()) * (log_a - log_b)).sum(1)
        kept = targets.smallest((supervised + agreement).detach(), share, human)
        return {"supervised": losses.mean(supervised[kept]), "agreement": losses.mean(agreement[kept])}
