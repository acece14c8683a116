"""From votes and scores to candidate label sets, the noisy partial labels of Co-Reg (Wang et al., AAAI 2025).

Every rule leaves an image on which nobody voted without candidates: it counts as unlabelled, never as "all classes".
"""

from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from zerolabel.annotations import Annotations
from zerolabel.errors import InputError, nearest

Rule = Callable[[Annotations], Bool[Tensor, "N C"]]


def union_of_votes(votes: Int[Tensor, "N A"], n_classes: int) -> Bool[Tensor, "N C"]:
    """Every class that at least one annotator chose (section "CLIP Annotated Partial Labels").

    Args:
        votes: class ids, -1 where an annotator abstained.
        n_classes: C.
    """
    chosen = torch.zeros(len(votes), n_classes + 1, dtype=torch.bool, device=votes.device)
    chosen.scatter_(1, torch.where(votes < 0, n_classes, votes), True)
    return chosen[:, :n_classes]


def top_k(scores: Float[Tensor, "N C"], k: int) -> Bool[Tensor, "N C"]:
    """The k classes with the highest scores, all where k exceeds their number; a tie goes to the lower class id."""
    order = scores.argsort(dim=1, descending=True, stable=True)[:, :k]
    return torch.zeros_like(scores, dtype=torch.bool).scatter_(1, order, True) & _spoken(scores)


def ratio(scores: Float[Tensor, "N C"], ratio: float, k: int = 5) -> Bool[Tensor, "N C"]:
    """Among the top k, the classes whose score is at least ``ratio`` times the best."""
    best = scores.max(dim=1, keepdim=True).values
    return top_k(scores, k) & (scores >= ratio * best)


def cumulative_mass(scores: Float[Tensor, "N C"], mass: float) -> Bool[Tensor, "N C"]:
    """The fewest classes whose scores add up to at least ``mass``."""
    ordered, order = scores.sort(dim=1, descending=True, stable=True)
    before = ordered.double().cumsum(1) - ordered.double()
    needed = (before < mass) & (ordered > 0)
    return torch.zeros_like(needed).scatter_(1, order, needed)


def soft(scores: Float[Tensor, "N C"]) -> Bool[Tensor, "N C"]:
    """All classes, for learners that take the scores themselves as soft targets (distillation)."""
    return _spoken(scores).expand_as(scores).clone()


def _spoken(scores: Float[Tensor, "N C"]) -> Bool[Tensor, "N 1"]:
    return scores.any(dim=1, keepdim=True)


RULES: dict[str, str] = {
    "union": "union: every class that some prompt voted for",
    "topk": "topk:K: the K classes with the highest mean score, K = 5 if left out",
    "ratio": "ratio:R: among the 5 best, those with at least R times the best score, R = 0.5 if left out",
    "mass": "mass:M: the fewest classes whose scores add up to M, M = 0.9 if left out",
    "soft": "soft: all classes; the scores are the targets",
}


def parse_rule(text: str) -> Rule:
    """Turn a rule written as text into a function of annotations.

    Args:
        text: ``"union"``, ``"topk:3"``, ``"ratio:0.5"``, ``"mass:0.9"`` or ``"soft"``; `RULES` describes each.

    Returns:
        A pure function from annotations to candidate sets, which needs no model.

    Raises:
        InputError: the rule has another name, or a value outside its range.
    """
    name, _, value = text.strip().partition(":")
    match name:
        case "union" | "soft" if value:
            raise InputError(f"--candidates {text}: the rule {name} takes no value; write {name}.")
        case "union":
            return lambda annotations: union_of_votes(annotations.votes, len(annotations.classes))
        case "soft":
            return lambda annotations: soft(annotations.scores)
        case "topk":
            return _of_scores(partial(top_k, k=_count(text, value or "5")))
        case "ratio":
            return _of_scores(partial(ratio, ratio=_share(text, value or "0.5")))
        case "mass":
            return _of_scores(partial(cumulative_mass, mass=_share(text, value or "0.9")))
    raise InputError(f"--candidates {text}: there is no rule {name!r}{nearest(name, RULES)}")


def _of_scores(function: Callable[[Float[Tensor, "N C"]], Bool[Tensor, "N C"]]) -> Rule:
    return lambda annotations: function(annotations.scores)


def _count(text: str, value: str) -> int:
    if not value.isdecimal() or int(value) < 1:
        raise InputError(f"--candidates {text}: {value!r} is not a whole number from 1; write for example topk:3.")
    return int(value)


def _share(text: str, value: str) -> float:
    try:
        share = float(value)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise InputError(f"--candidates {text}: {value!r} is not a number above 0 and up to 1; write for example 0.5.")
    return share
