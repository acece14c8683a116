"""LaFTer. Mirza, Karlinsky, Lin, Kozinski, Possegger, Feris, Bischof. LaFTer: Label-Free Tuning of Zero-shot Classifier
using Language and Unlabeled Image Collections. NeurIPS 2023 (arXiv 2305.18287).

    L = CE(smooth(argmax y_i), p(x_s)),   smooth(t) = (1 - s) t + s / C

The labels y are those of a frozen model on the plain image. In the paper that is a classifier which was trained on
texts, `text_classifier`, and what learns are 50 tokens beside the patches, the normalizations, and that classifier;
``zerolabel adapt --method lafter`` does so with 16 tokens. The authors report the best epoch on the test images; here
it is the last. The paper's texts are descriptions by a language model; here they are the prompts of the annotation.

A human label takes the place of the model's, and an image without a vote is left out.

Against the authors' code (jmiemirza/LaFTer @ 786b0bc): exact in the labels, the smoothed loss and the texts with their
noise (test_lafter). Documented differences: how the text classifier is fitted, below; the student reads features of
length 1, where the code takes them as they come, about 10 times as long; its tokens start uniform within 0.0625 and
join after the first normalization.
"""

from collections.abc import Iterable

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from zerolabel.annotations import Annotations
from zerolabel.blocks import losses, targets
from zerolabel.blocks.lbfgs import minimized
from zerolabel.learners.base import Batch, Epoch, Learner, Losses, Pass, View
from zerolabel.networks import Network
from zerolabel.options import Share

COPIES, ROWS = 32, 50_000
"""Noisy copies of each text at most, and of all texts together."""


class LaFTer(Learner):
    """Learn the frozen model's labels of plain images on changed ones.

    Args:
        smoothing: s.
        view: what is learned from.
    """

    initial_labels: Int[Tensor, " N"]

    def __init__(
        self, network: Network, annotations: Annotations, *, smoothing: Share = 0.1, view: View = "strong"
    ) -> None:
        super().__init__(network, annotations)
        self.views, self.smoothing = (view,), smoothing
        self.register_buffer("initial_labels", targets.initial_labels(self.scores, self.candidates, self.labels))

    def passes(self, epoch: Epoch) -> Iterable[Pass]:
        """One pass over the images that have a label."""
        yield Pass(self.training_step, ((self.initial_labels >= 0).nonzero().squeeze(1),))

    def training_step(self, batch: Batch) -> Losses:
        """Cross-entropy with the smoothed label."""
        logits = self.network(batch.views[0])
        n_classes = logits.shape[1]
        target = targets.one_hot(self.initial_labels[batch.index], n_classes)
        return {
            "smoothed": losses.cross_entropy(logits, (1 - self.smoothing) * target + self.smoothing / n_classes),
        }


def text_classifier(
    texts: Float[Tensor, "M D"],
    owners: Int[Tensor, " M"],
    scale: float,
    *,
    noise: float = 0.1,
    smoothing: float = 0.1,
    iterations: int = 100,
    seed: int = 0,
) -> Float[Tensor, "C D"]:
    """A linear classifier of image features that was trained on text features alone, with noise on them.

    The noise is added to features of length 1, which are not normalized again. The code draws new noise in each
    of 400 to 5,500 steps of AdamW from random weights, by data set. Ours: up to `COPIES` noisy copies of each text, and
    L-BFGS over all of them from the mean text of each class times the scale.

    Args:
        texts: features of length 1.
        owners: class of each.
        scale: the factor of the cosine in the model's softmax.
        noise: standard deviation of what is added to the features.
        smoothing: of the labels.
        iterations: of L-BFGS.
        seed: of the noise.
    """
    generator = torch.Generator().manual_seed(seed)
    copies = max(1, min(COPIES, ROWS // len(texts)))
    moved = texts.repeat(copies, 1)
    moved = moved + noise * torch.randn(moved.shape, generator=generator).to(texts)
    target = functional.one_hot(owners).to(texts)

    def loss(weights: Float[Tensor, "C D"]) -> Tensor:
        return functional.cross_entropy(moved @ weights.T, owners.repeat(copies), label_smoothing=smoothing)

    return minimized(loss, scale * functional.normalize(target.T @ texts, dim=1), iterations)
