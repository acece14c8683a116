"""Label models by name: from votes to the probability of each class."""

import torch
from jaxtyping import Float
from torch import Tensor

from zerolabel.annotations import Annotations
from zerolabel.errors import InputError, nearest
from zerolabel.label_models.dawid_skene import dawid_skene, shares

MODELS: dict[str, str] = {
    "majority": "share of the votes that a class has",
    "dawid_skene": "a confusion matrix per annotator",
    "one_coin": "an accuracy per annotator",
}


def posterior(annotations: Annotations, model: str = "dawid_skene") -> Float[Tensor, "N C"]:
    """The probability of each class of each image, from the votes alone.

    Args:
        annotations: votes and human labels are read; no score is.
        model: a key of `MODELS`.

    Returns:
        A row per image: zero where nobody voted, one-hot where a person gave the label.

    Raises:
        InputError: there is no such model.
    """
    if model not in MODELS:
        raise InputError(f"there is no label model {model!r}{nearest(model, MODELS)}")
    n_classes, labels = len(annotations.classes), annotations.labels
    if model == "majority":
        rows = shares(annotations.votes, n_classes)
        rows[labels >= 0] = torch.nn.functional.one_hot(labels[labels >= 0], n_classes).float()
        return rows
    return dawid_skene(annotations.votes, n_classes, labels, one_coin=model == "one_coin").posterior
