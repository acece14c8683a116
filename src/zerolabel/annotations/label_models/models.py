"""Label models by name: from votes to the probability of each class."""

from jaxtyping import Float, Int
from torch import Tensor

from zerolabel.annotations.annotations import Annotations
from zerolabel.annotations.label_models import crowd
from zerolabel.annotations.label_models.dawid_skene import dawid_skene
from zerolabel.annotations.label_models.em import pin, shares
from zerolabel.annotations.label_models.shrunken import shrunken
from zerolabel.errors import InputError, nearest

MODELS: dict[str, str] = {
    "majority": "the share of the votes that a class has",
    "shrunken": "a confusion matrix per annotator, shrunk toward one accuracy; votes count by their dependence",
    "dawid_skene": "a confusion matrix per annotator",
    "one_coin": "an accuracy per annotator",
    "glad": "an ability per annotator, a difficulty per image; by crowd-kit, slow",
    "mace": "an annotator knows the class or answers out of habit; by crowd-kit, slow",
}

DEFAULT = "shrunken"
"""On 19 models' votes on paintings, and on simulated annotators: see ``docs/benchmarks.md``."""


def posterior(annotations: Annotations, model: str = DEFAULT) -> Float[Tensor, "N C"]:
    """The probability of each class of each image, from the votes alone.

    Args:
        annotations: votes and human labels are read; no score is.
        model: a key of `MODELS`.

    Returns:
        A row per image: zero where nobody voted, one-hot where humans gave the label.

    Raises:
        InputError: there is no such model, or crowd-kit is needed and not installed.
    """
    if model not in MODELS:
        raise InputError(f"there is no label model {model!r}{nearest(model, MODELS)}")
    votes, labels, n_classes = first_votes(annotations), annotations.labels, len(annotations.classes)
    if model in crowd.NAMES:
        return pin(crowd.fit(votes, n_classes, model), labels)
    if model == "majority":
        return pin(shares(votes, n_classes), labels)
    if model == "shrunken":
        return shrunken(votes, n_classes, labels).posterior
    return dawid_skene(votes, n_classes, labels, one_coin=model == "one_coin").posterior


def first_choices(annotations: Annotations) -> tuple[int, ...]:
    """Columns of the votes that are an annotator's first choice; one that names several classes has further columns."""
    return tuple(a for a, annotator in enumerate(annotations.annotators) if annotator.choice == 1)


def first_votes(annotations: Annotations) -> Int[Tensor, "N B"]:
    """The votes that label models read: one column per annotator, its first choice."""
    return annotations.votes[:, list(first_choices(annotations))]


def annotator_accuracy(votes: Int[Tensor, "N A"], posterior: Float[Tensor, "N C"]) -> Float[Tensor, " A"]:
    """Estimated accuracy of each annotator: the mean probability of what it voted for; NaN where it never voted.

    Args:
        votes: class ids, -1 where an annotator abstained.
        posterior: of a label model.
    """
    spoke = votes >= 0
    return (posterior.gather(1, votes.clamp_min(0)) * spoke).sum(0) / spoke.sum(0)
