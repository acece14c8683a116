"""From votes and scores to candidate label sets, the noisy partial labels of Co-Reg (Wang et al., AAAI 2025).

Every rule leaves an image on which nobody voted without candidates: it counts as unlabeled, never as "all classes".
"""

from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from zerolabel.annotations import label_models
from zerolabel.annotations.annotations import Annotations
from zerolabel.errors import InputError, nearest

FAINT = 1e-7
"""The least share of an image's scores that makes a class a candidate by quantiles (code of CPL)."""
Rule = Callable[[Annotations], Bool[Tensor, "N C"]]


def union_of_votes(votes: Int[Tensor, "N A"], n_classes: int) -> Bool[Tensor, "N C"]:
    """Every class that at least one annotator chose (section "CLIP Annotated Partial Labels").

    Args:
        votes: class ids, -1 where an annotator abstained.
        n_classes: C.

    Example:
        >>> votes = torch.tensor([[0, 2], [1, 1], [-1, -1]])
        >>> union_of_votes(votes, 3).int().tolist()
        [[1, 0, 1], [0, 1, 0], [0, 0, 0]]
    """
    chosen = torch.zeros(len(votes), n_classes + 1, dtype=torch.bool, device=votes.device)
    chosen.scatter_(1, torch.where(votes < 0, n_classes, votes), True)
    return chosen[:, :n_classes]


def votes_at_least(votes: Int[Tensor, "N A"], n_classes: int, m: int) -> Bool[Tensor, "N C"]:
    """Every class with at least m votes; an image on whose class no m annotators agree is left unlabeled.

    Args:
        votes: class ids, -1 where an annotator abstained.
        n_classes: C.
        m: votes that a class needs; 1 is `union_of_votes`.

    Example:
        >>> votes = torch.tensor([[0, 0, 2], [0, 1, 2]])
        >>> votes_at_least(votes, 3, m=2).int().tolist()
        [[1, 0, 0], [0, 0, 0]]
    """
    counts = torch.zeros(len(votes), n_classes + 1, dtype=torch.int32, device=votes.device)
    counts.scatter_add_(1, torch.where(votes < 0, n_classes, votes), torch.ones_like(votes, dtype=torch.int32))
    return counts[:, :n_classes] >= m


def top_k(scores: Float[Tensor, "N C"], k: int) -> Bool[Tensor, "N C"]:
    """The k classes with the highest scores, all where k exceeds their number; a tie goes to the lower class id.

    Example:
        >>> top_k(torch.tensor([[0.5, 0.2, 0.3]]), 2).int().tolist()
        [[1, 0, 1]]
    """
    order = scores.argsort(dim=1, descending=True, stable=True)[:, :k]
    return torch.zeros_like(scores, dtype=torch.bool).scatter_(1, order, True) & _spoken(scores)


def ratio(scores: Float[Tensor, "N C"], ratio: float, k: int = 5) -> Bool[Tensor, "N C"]:
    """Among the top k, the classes whose score is at least ``ratio`` times the best.

    Example:
        >>> ratio(torch.tensor([[0.6, 0.3, 0.1]]), 0.4).int().tolist()
        [[1, 1, 0]]
    """
    best = scores.max(dim=1, keepdim=True).values
    return top_k(scores, k) & (scores >= ratio * best)


def cumulative_mass(scores: Float[Tensor, "N C"], mass: float) -> Bool[Tensor, "N C"]:
    """The fewest classes whose scores add up to at least ``mass``.

    Example:
        >>> cumulative_mass(torch.tensor([[0.6, 0.3, 0.1], [0.95, 0.04, 0.01]]), 0.9).int().tolist()
        [[1, 1, 0], [1, 0, 0]]
    """
    ordered, order = scores.sort(dim=1, descending=True, stable=True)
    before = ordered.double().cumsum(1) - ordered.double()
    needed = (before < mass) & (ordered > 0)
    return torch.zeros_like(needed).scatter_(1, order, needed)


def soft(scores: Float[Tensor, "N C"]) -> Bool[Tensor, "N C"]:
    """All classes, for learners that take the scores themselves as soft targets (distillation)."""
    return _spoken(scores).expand_as(scores).clone()


def quantiles(scores: Float[Tensor, "N C"], alpha: float, beta: float) -> Bool[Tensor, "N C"]:
    """Classes that stand out both within their image and among all images (CPL, Zhang et al., ICML 2024).

    Within the image: the fewest classes whose scores add up to more than the alpha-quantile of all images' best
    scores, or all classes that have a score where none do. Among the images: class j where its score is at least the
    beta-quantile of column j. A class that holds less than `FAINT` of the scores of those classes that one of both
    rules leaves to the image is none of its classes. An image to which no class is left is unlabeled, as is one on
    no annotator voted; the latter takes no part in the quantiles. All sums and quantiles are of single precision, as in
    the authors' code, so that equal scores tie as they do there.

    Args:
        scores: of N images.
        alpha: in [0, 1]; the larger, the more classes an image keeps.
        beta: in [0, 1]; the larger, the fewer images keep a class.
    """
    chosen = torch.zeros_like(scores, dtype=torch.bool)
    rows = _spoken(scores).squeeze(1).nonzero().squeeze(1)
    if not len(rows):
        return chosen
    values = scores[rows].float()
    ordered, order = values.sort(dim=1, descending=True, stable=True)
    before = torch.cat([torch.zeros_like(ordered[:, :1]), ordered.cumsum(1)[:, :-1]], 1)
    within = torch.zeros_like(values, dtype=torch.bool).scatter_(1, order, before <= _quantile(ordered[:, :1], alpha))
    among = values >= _quantile(values, beta)
    shares = [(values * kept) / (values * kept).sum(1, keepdim=True) for kept in (within, among)]
    chosen[rows] = (shares[0] > FAINT) & (shares[1] > FAINT)
    return chosen


def _quantile(values: Float[Tensor, "N C"], share: float) -> Float[Tensor, " C"]:
    """Of each column, with linear interpolation, of any number of rows; `torch.quantile` stops at 16 million values."""
    ordered = values.sort(0).values
    place = float(torch.tensor(share, dtype=values.dtype)) * (len(values) - 1)
    low = int(place)
    between = values.new_full(values.shape[1:], place - low)
    return torch.lerp(ordered[low], ordered[min(low + 1, len(values) - 1)], between)


def _spoken(scores: Float[Tensor, "N C"]) -> Bool[Tensor, "N 1"]:
    return scores.any(dim=1, keepdim=True)


RULES: dict[str, str] = {
    "union": "union: every class that some prompt voted for",
    "votes": "votes:M: every class with at least M votes, M = 2 if left out",
    "topk": "topk:K: the K classes with the highest mean score, K = 5 if left out",
    "ratio": "ratio:R: among the 5 best, those with at least R times the best score, R = 0.5 if left out",
    "mass": "mass:M: the fewest classes whose scores add up to M, M = 0.9 if left out",
    "soft": "soft: all classes; the scores are the targets",
    "quantile": "quantile:A,B: the best classes up to the A-quantile of best scores, each only where it is above the "
    "B-quantile of its own, A = 0.75 and B = 0.8 if left out",
    "posterior": "posterior:M,MODEL: the fewest classes that hold the probability M under a label model, M = 0.9 and "
    "MODEL = shrunken if left out",
}


def parse_rule(text: str) -> Rule:
    """Turn a rule written as text into a function of annotations.

    Args:
        text: ``"union"``, ``"topk:3"``, ``"ratio:0.5"``, ``"mass:0.9"``; `RULES` describes each.

    Returns:
        A pure function from annotations to candidate sets, which needs no model.

    Raises:
        InputError: the rule has another name, or a value outside its range.
    """
    name, _, value = text.strip().partition(":")
    text = f"--candidates {text}"
    match name:
        case "union" | "soft" if value:
            raise InputError(f"{text}: the rule {name} takes no value; write {name}.")
        case "union":
            return lambda annotations: union_of_votes(annotations.votes, len(annotations.classes))
        case "soft":
            return lambda annotations: soft(annotations.scores)
        case "votes":
            m = _count(text, value or "2")
            return lambda annotations: votes_at_least(annotations.votes, len(annotations.classes), m)
        case "topk":
            return _of_scores(partial(top_k, k=_count(text, value or "5")))
        case "ratio":
            return _of_scores(partial(ratio, ratio=_share(text, value or "0.5")))
        case "mass":
            return _of_scores(partial(cumulative_mass, mass=_share(text, value or "0.9")))
        case "quantile":
            alpha, beta = _two_shares(text, value or "0.75,0.8")
            return _of_scores(partial(quantiles, alpha=alpha, beta=beta))
        case "posterior":
            share, _, model = value.partition(",")
            return _of_posterior(_share(text, share or "0.9"), model or label_models.DEFAULT, text)
    raise InputError(f"{text}: there is no rule {name!r}{nearest(name, RULES)}")


def rule_or_union(rule: str) -> str:
    """The rule itself, or ``union`` if it is not a rule that can be parsed."""
    try:
        parse_rule(rule)
    except InputError:
        return "union"
    return rule


LEAST_SHARE = 0.01
"""Of fewer images with candidates than this share of all, training would learn next to nothing of the others."""


def check_enough(annotations: Annotations) -> None:
    """Check that enough images have a candidate class to learn from.

    Too few are: none; fewer than classes, where that is less than half of the images; and less than `LEAST_SHARE` of
    the images, unless humans labeled as many images as there are classes, which is then meant so.

    Raises:
        InputError: there are too few.
    """
    n, n_classes = len(annotations), len(annotations.classes)
    found, human = int(annotations.candidates.any(1).sum()), int(annotations.human.sum())
    scarce = found < n_classes and 2 * found < n
    thin = found < LEAST_SHARE * n and human < n_classes
    if found and not scarce and not thin:
        return
    how_many = f"only {found} of {n} images have" if found else f"none of the {n} images has"
    raise InputError(
        f"{how_many} a candidate class, too few to learn {n_classes} classes from: see what the annotators said "
        "(`zerolabel inspect`, answers.csv), or change --candidates, the prompts or --vlm."
    )


def _of_scores(function: Callable[[Float[Tensor, "N C"]], Bool[Tensor, "N C"]]) -> Rule:
    return lambda annotations: function(annotations.scores)


def _of_posterior(mass: float, model: str, text: str) -> Rule:
    if model not in label_models.MODELS:
        raise InputError(f"{text}: there is no label model {model!r}{nearest(model, label_models.MODELS)}")
    return lambda annotations: cumulative_mass(label_models.posterior(annotations, model), mass)


def _count(text: str, value: str) -> int:
    if not value.isdecimal() or int(value) < 1:
        raise InputError(f"{text}: {value!r} is not a whole number from 1; write for example topk:3.")
    return int(value)


def _share(text: str, value: str) -> float:
    try:
        share = float(value)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise InputError(f"{text}: {value!r} is not a number above 0 and up to 1; write for example 0.5.")
    return share


def _two_shares(text: str, value: str) -> tuple[float, float]:
    parts = value.split(",")
    if len(parts) != 2:
        raise InputError(f"{text}: {value!r} is not two numbers; write for example quantile:0.75,0.8.")
    return _share(text, parts[0]), _share(text, parts[1])
