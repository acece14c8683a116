"""Predictions that a run is compared with at next to no cost: what an engineer would try first, without training.

- the prompt that counts most by the weights of `zerolabel.annotate.prompt_weights`, else the annotator that a label
  model trusts most;
- linear discriminant analysis (shared covariance, shrunk as Ledoit and Wolf do) and logistic regression, both
  scikit-learn's, from frozen features to the annotators' best class. They learn from at most `MOST_IMAGES` images.

No true label is read.
"""

import warnings
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from zerolabel.annotate.prompt_weights import weights_of
from zerolabel.annotations import Annotations, label_models
from zerolabel.training.set_aside import remaining

BEST, DISCRIMINANT, LOGISTIC = "best prompt", "LDA on features", "logistic regression on features"
MOST_IMAGES, MOST_WEIGHTS = 5_000, 500_000
"""Images that are learned from, and images times classes, which bounds the time of a fit."""
PENALTY, ROUNDS = 10.0, 200
"""Inverse penalty and most iterations of the logistic regression; the penalty is that of the benchmark's."""


def best_annotator(annotations: Annotations, encoder: str | None) -> int:
    """Column of the votes of the prompt or annotator that counts most, without labels.

    Args:
        annotations: of the training images.
        encoder: the model whose prompts have weights; None if there is none.
    """
    weights = None if encoder is None else weights_of(annotations, encoder)
    columns = [a for a, one in enumerate(annotations.annotators) if one.model == encoder and one.choice == 1]
    if weights is not None and len(columns) == len(weights):
        return columns[int(weights.mean(1).argmax())]
    votes, owners = label_models.first_votes(annotations), label_models.first_choices(annotations)
    trusted = label_models.annotator_accuracy(votes, label_models.posterior(annotations))
    return owners[int(trusted.nan_to_num(0.0).argmax())]


def linear_predictions(
    annotations: Annotations,
    features: Float[Tensor, "N D"],
    aside: Int[Tensor, " S"],
    read: Sequence[Float[Tensor, "_ D"]],
) -> dict[str, list[Int[Tensor, " _"]]]:
    """Predictions of the two linear classifiers for some sets of features; empty where no two classes are labeled.

    Args:
        annotations: of the N images to learn from; labels given by a person count.
        features: of these images.
        aside: ids of images that are not learned.
        read: features to predict.
    """
    labels = torch.where(annotations.human, annotations.labels, annotations.scores.argmax(1))
    named = annotations.human | annotations.scores.any(1)
    rows = remaining(len(annotations), aside)
    rows = rows[named[rows]]
    most = min(MOST_IMAGES, max(MOST_WEIGHTS // len(annotations.classes), 1))
    rows = rows[torch.linspace(0, max(len(rows) - 1, 0), min(most, len(rows))).round().long()]
    x, y = features[rows].float().numpy(), labels[rows].numpy()
    if len(set(y.tolist())) < 2 or len(y) <= len(set(y.tolist())):
        return {}
    models = {
        DISCRIMINANT: LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"),
        LOGISTIC: LogisticRegression(C=PENALTY, max_iter=ROUNDS),
    }
    found = {}
    for name, model in models.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of one image of a class, of a fit that stopped early
            model.fit(x, y)
        found[name] = [torch.from_numpy(model.predict(one.float().numpy())).long() for one in read]
    return found


__all__ = ["BEST", "DISCRIMINANT", "LOGISTIC", "best_annotator", "linear_predictions"]
