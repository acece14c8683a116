"""A model that does not know the images at all, seen without labels.

With p_i the scores of image i, scaled to a sum of 1, H the entropy and C the number of classes,

    I  =  ( H(mean_i p_i)  -  mean_i H(p_i) ) / log C ,        D  =  mean_i H(p_i) / log C

are the mutual information of image and class, and the doubt in a single image, as shares of the most that C classes
allow. A model with random weights gives all images nearly the same scores, so that I is next to 0 and D next to 1. A
pool that shows one class has a small I too, but a model that knows it has no doubt. On 14 sets of annotations of real
models, the worst of which has 28% of the images right, I is at least .29.
"""

import math

import torch

from zerolabel.annotations import Annotations

LEAST, MOST_DOUBT = 0.1, 0.5
"""I below which, together with a D above which, a model counts as one that does not know the images."""
FEWEST = 20
"""Of fewer images, nothing is said."""


def unknown_images(annotations: Annotations) -> str | None:
    """A sentence where the scores hardly depend on the image; None where they do.

    Example:
        >>> from zerolabel.annotations import Annotations
        >>> scores = torch.full((30, 4), 0.25)
        >>> names, none = tuple(map(str, range(30))), torch.full((30,), -1)
        >>> votes, sizes = scores.argmax(1)[:, None], torch.ones(30, 2, dtype=torch.long)
        >>> said = Annotations(tuple("abcd"), names, names, sizes, votes, scores, scores > 0, none, (), "union")
        >>> unknown_images(said)[:45]
        'the annotating model does not seem to know th'
    """
    scores = annotations.scores[annotations.scores.any(1) & ~annotations.human].double()
    if len(scores) < FEWEST or scores.shape[1] < 2:
        return None
    p, most = scores / scores.sum(1, keepdim=True), math.log(scores.shape[1])
    doubt = float(torch.special.entr(p).sum(1).mean()) / most
    information = float(torch.special.entr(p.mean(0)).sum()) / most - doubt
    if information >= LEAST or doubt <= MOST_DOUBT:
        return None
    return (
        "the annotating model does not seem to know these images: it gives nearly all of them the same scores, so that "
        "its answers are hardly better than chance. Name another model with --vlm, or plainer class names."
    )


__all__ = ["unknown_images"]
