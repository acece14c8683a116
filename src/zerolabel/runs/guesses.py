"""Annotations that mean nothing, to build or to time a learner with."""

import torch

from zerolabel.annotations import Annotations


def random_annotations(classes: tuple[str, ...], count: int) -> Annotations:
    """Annotations of three annotators who guess."""
    votes = torch.randint(len(classes), (count, 3))
    scores = torch.nn.functional.one_hot(votes, len(classes)).float().mean(1)
    names = tuple(str(i) for i in range(count))
    sizes, labels = torch.ones(count, 2, dtype=torch.long), torch.full((count,), -1)
    return Annotations(classes, names, names, sizes, votes, scores, scores > 0, labels, (), "union")


__all__ = ["random_annotations"]
