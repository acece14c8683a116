"""UEO. Liang, Sheng, Wang, He, Tan. Realistic Unsupervised CLIP Fine-tuning with Universal Entropy Optimization.
ICML 2024 (arXiv 2308.12919).

    L = sum_i w_i H(p_i) / sum_i w_i - gamma H( sum_i p_i / w_i / sum_i 1 / w_i )

Sure images become more confident; the mean prediction, in which uncertain images count more, is spread out. The
weights w_i are the largest softmax of the cosines without the model's scale, from the model as it was, and never
change; the scores p of annotators with the scale s give them as max_j norm(p^(1/s)). Score propagation (k-NN graph)
would bring the weights of sure and uncertain images together, so this learner never gets them; `zerolabel adapt` gives
it the model's own answers to the mean text feature of the templates. The paper trains a context of 4 words and the
image encoder's normalizations.

Ours: images labeled by humans add their cross-entropy; a network that does not know the classes yet, unlike a
prompted vision-language model, learns the scores in a warm-up first; an image without a vote is least sure.

Against the authors' code: exact but for the 1e-5 inside its logarithms (golden/ueo).
"""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from zerolabel.annotations import Annotations
from zerolabel.blocks import losses, targets
from zerolabel.learners.base import Batch, Epoch, Learner, Losses, Pass
from zerolabel.networks import Network
from zerolabel.options import Epochs, Positive, Weight


class UEO(Learner):
    """Entropies that tell sure images from uncertain ones, so that a pool may hold classes without a name.

    Args:
        gamma: weight of the second term.
        scale: of the annotating model's cosines, which the weights leave out; CLIP's 100.
        image_rate: learning rate of the image side over that of the text side.
        human_weight: of the cross-entropy on images labeled by humans.
        warm_up: epochs on the annotators' scores; none for a network that starts from zero-shot.
    """

    views = ("weak",)
    takes_propagated_scores = False
    weight: Float[Tensor, " N"]

    def __init__(
        self,
        network: Network,
        annotations: Annotations,
        *,
        gamma: Weight = 1.0,
        scale: Positive = 100.0,
        image_rate: Weight = 1.0,
        human_weight: Weight = 1.0,
        warm_up: Epochs = 0,
    ) -> None:
        super().__init__(network, annotations)
        self.gamma, self.image_rate, self.human_weight, self.warm_up = gamma, image_rate, human_weight, warm_up
        sure = targets.sharpen(self.scores, scale).amax(1)
        self.register_buffer("weight", sure.clamp_min(1 / len(annotations.classes)))

    def parameter_groups(self) -> list[tuple[float, list[nn.Parameter]]]:
        """The image side at a rate of its own."""
        image = {id(p) for p in self.network.image_parameters()}
        rest = [p for p in self.parameters() if id(p) not in image]
        return [(1.0, rest), (self.image_rate, self.network.image_parameters())]

    def passes(self, epoch: Epoch) -> Iterable[Pass]:
        """One pass over all images, with those labeled by a human beside them."""
        if epoch.number < self.warm_up:
            yield Pass(self.scores_step, (self.labeled,))
            return
        yield Pass(self.training_step, self.all_and_human)

    def training_step(self, batch: Batch, human: Batch) -> Losses:
        """The weighted entropies, and the cross-entropy of human labels."""
        logits = self.network(torch.cat([batch.views[0], human.views[0]]))
        n, weight = len(batch.index), self.weight[batch.index]
        target = targets.one_hot(self.labels[human.index], logits.shape[1])
        return {
            "entropy": losses.weighted_entropy(logits[:n], weight),
            "spread": -self.gamma * losses.entropy_of_mean(logits[:n], 1 / weight),
            "human": self.human_weight * losses.cross_entropy(logits[n:], target),
        }
