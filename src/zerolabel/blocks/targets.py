"""Label distributions: pure functions of probabilities and candidate sets, rows are images."""

import warnings
from math import ceil, floor

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from zerolabel.errors import InputError
from zerolabel.files import rows

TINY, TINIEST = 1e-12, 1e-300
REPEATS = 20
SKEWED = 4.0
"""Class shares of which the largest is more than this multiple of the smallest are skewed; twofold, annotators err."""


def normalize(rows: Float[Tensor, "N C"]) -> Float[Tensor, "N C"]:
    """Scale each row to sum 1, however small its sum; a row of zeros stays zero."""
    total = rows.sum(1, keepdim=True)
    return rows / torch.where(total > 0, total, 1)


def average(*parts: Float[Tensor, "N C"]) -> Float[Tensor, "N C"]:
    """The mean of several predictions."""
    return torch.stack(parts).mean(0)


def uniform_over(candidates: Bool[Tensor, "N C"]) -> Float[Tensor, "N C"]:
    """The uniform distribution over each candidate set; zero for an empty set.

    Example:
        >>> uniform_over(torch.tensor([[True, True, False]]))
        tensor([[0.5000, 0.5000, 0.0000]])
    """
    return normalize(candidates.float())


def restrict(p: Float[Tensor, "N C"], candidates: Bool[Tensor, "N C"]) -> Float[Tensor, "N C"]:
    """Probabilities inside the candidate set, renormalized; uniform over the set where no mass is left in it.

    Example:
        >>> p, candidates = torch.tensor([[0.5, 0.3, 0.2]]), torch.tensor([[False, True, True]])
        >>> restrict(p, candidates)
        tensor([[0.0000, 0.6000, 0.4000]])
    """
    inside = p * candidates
    lost = inside.sum(1, keepdim=True) <= 0
    return torch.where(lost, uniform_over(candidates).to(p.dtype), normalize(inside))


def sharpen(p: Float[Tensor, "N C"], temperature: float) -> Float[Tensor, "N C"]:
    """``norm(p^(1/T))``; T below 1 sharpens. Scaled by the row's maximum first, so that no row underflows.

    Example:
        >>> sharpen(torch.tensor([[0.6, 0.4]]), 0.5)
        tensor([[0.6923, 0.3077]])
    """
    return normalize((p / p.amax(1, keepdim=True).clamp_min(TINY)) ** (1 / temperature))


def align(p: Float[Tensor, "N C"], prior: Float[Tensor, " C"]) -> Float[Tensor, "N C"]:
    """Distribution alignment: ``norm(p * prior / mean p)`` moves the mean prediction toward the class prior.

    Example:
        >>> align(torch.tensor([[0.9, 0.1], [0.7, 0.3]]), torch.tensor([0.5, 0.5]))
        tensor([[0.6923, 0.3077],
                [0.3684, 0.6316]])
    """
    mean = p.mean(0).clamp_min(TINY)
    return rows.each(lambda part: normalize(part * prior / mean), p)


def align_running(
    p: Float[Tensor, "N C"], table: Float[Tensor, "N C"], prior: Float[Tensor, " C"], size: int
) -> Float[Tensor, "N C"]:
    """Distribution alignment while a table of predictions is renewed batch by batch (Co-Reg's code).

    The predictions of each batch take their places in the table before the batch is aligned by the table's mean. The
    first batches are therefore aligned by mostly old predictions, the last by new ones.

    Args:
        p: new predictions on all images, in the order in which they are looked at.
        table: predictions that are remembered.
        prior: class prior that the table's mean is moved toward.
        size: of a batch.
    """
    if not len(p):
        return p
    pairs = zip(p.split(size), table.split(size), strict=True)
    moved = torch.stack([(new - old).double().sum(0) for new, old in pairs]).cumsum(0)
    parts = table.split(rows.AT_ONCE) if rows.is_large(table) else (table,)
    mean = ((sum(part.double().sum(0) for part in parts) + moved) / len(p)).clamp_min(TINY).to(p.dtype)
    batch = torch.arange(len(p), device=p.device) // size
    return rows.each(lambda part, number: normalize(part * prior / mean[number]), p, batch)


def normalized_apart(p: Float[Tensor, "N C"], candidates: Bool[Tensor, "N C"]) -> Float[Tensor, "N C"]:
    """Probabilities normalized to 1 within the candidate set, and to 1 within the other classes."""
    return restrict(p, candidates) + restrict(p, ~candidates)


def one_hot(ids: Int[Tensor, " N"], n_classes: int) -> Float[Tensor, "N C"]:
    """One-hot rows; an id of -1 gives a row of zeros."""
    rows = torch.zeros(len(ids), n_classes, device=ids.device)
    return rows.scatter_(1, ids.clamp_min(0)[:, None], (ids >= 0).float()[:, None])


def with_human_labels(p: Float[Tensor, "N C"], human: Int[Tensor, " N"]) -> Float[Tensor, "N C"]:
    """The rows of p, with human-labeled images replaced by one-hot rows."""
    return torch.where((human >= 0)[:, None], one_hot(human, p.shape[1]).to(p.dtype), p)


def initial_labels(
    scores: Float[Tensor, "N C"], candidates: Bool[Tensor, "N C"], human: Int[Tensor, " N"]
) -> Int[Tensor, " N"]:
    """Labels for noisy-label learning: the human label, else the class of the highest score; -1 without a candidate."""
    return human.where(human >= 0, scores.argmax(1).where(candidates.any(1), -1))


def groups(trusted: Bool[Tensor, " N"], human: Bool[Tensor, " N"]) -> tuple[Int[Tensor, " P"], Int[Tensor, " U"]]:
    """The trusted images and the rest; a human-labeled one comes with both, so that no other is drawn more often.

    Example:
        >>> trusted, human = torch.tensor([True, False, False]), torch.tensor([False, False, True])
        >>> groups(trusted, human)
        (tensor([0, 2]), tensor([1, 2]))
    """
    chosen, rest = (trusted | human).nonzero().squeeze(1), (~(trusted | human)).nonzero().squeeze(1)
    if len(rest) == 0:
        return chosen, rest
    return chosen, torch.cat([rest, human.nonzero().squeeze(1)])


def labeled_mask(candidates: Bool[Tensor, "N C"], human: Int[Tensor, " N"]) -> Bool[Tensor, " N"]:
    """Images that count as labeled in semi-supervised learning.

    These are human-labeled images and, for classes without any, images whose only candidate is that class.
    """
    asked = torch.bincount(human + 1, minlength=candidates.shape[1] + 1)[1:] > 0
    alone = (candidates.sum(1) == 1) & ~asked[candidates.float().argmax(1)]
    return (human >= 0) | alone


def labeled_batches(
    candidates: Bool[Tensor, "N C"], human: Int[Tensor, " N"], ratio: float
) -> tuple[Int[Tensor, " U"], Int[Tensor, " L"]]:
    """Index groups for semi-supervised learning: unlabeled images, and labeled ones, one per `ratio` unlabeled.

    If no image is labeled, all are unlabeled, and those with candidates stand in for the labeled ones.

    Raises:
        InputError: the ratio is not positive.
    """
    if not ratio > 0:
        raise InputError(f"ratio is the number of unlabeled images per labeled one and must be above 0, not {ratio}.")
    labeled = labeled_mask(candidates, human)
    rest, own = (~labeled).nonzero().squeeze(1), labeled.nonzero().squeeze(1)
    if len(own) == 0:
        own = candidates.any(1).nonzero().squeeze(1)
    return rest, own.repeat(max(1, ceil(len(rest) / ratio / max(len(own), 1))))


def best_candidate(
    p: Float[Tensor, "N C"], candidates: Bool[Tensor, "N C"]
) -> tuple[Float[Tensor, " N"], Int[Tensor, " N"]]:
    """Probability and class of the most probable candidate; an empty set means any class. Not renormalized."""
    allowed = candidates | ~candidates.any(1, keepdim=True)
    best = p.masked_fill(~allowed, -1).max(1)
    return best.values, best.indices


def strongest(values: Float[Tensor, "N C"], candidates: Bool[Tensor, "N C"]) -> Float[Tensor, "N C"]:
    """One-hot rows of the candidate with the largest value, which may be negative; zero for an empty set."""
    best = values.masked_fill(~candidates, -torch.inf).argmax(1)
    return one_hot(best.where(candidates.any(1), -1), candidates.shape[1])


def rectify(p: Float[Tensor, "N C"], candidates: Bool[Tensor, "N C"]) -> Float[Tensor, "N C"]:
    """Probabilities in which no class outside the set exceeds a candidate, by DIRK's rule (AAAI 2024).

    ``a norm(p Y) + (1 - a) norm(p (1 - Y))`` with ``a = M c / (M c + d)``: c is the largest entry of the second
    part, d the smallest of the first inside the set, and ``M = 1 / sum_{j in S} p_j``. Then ``a d`` is M times
    ``(1 - a) c``, and M is at least 1. Where every class is a candidate a is 1.
    """
    inside, outside = restrict(p, candidates), restrict(p, ~candidates)
    lowest = inside.masked_fill(~candidates, torch.inf).amin(1, keepdim=True)
    scaled = outside.amax(1, keepdim=True) / (p * candidates).sum(1, keepdim=True).clamp_min(TINY)
    share = torch.where(candidates.all(1, keepdim=True), 1.0, scaled / (scaled + lowest))
    return share * inside + (1 - share) * outside


def soften(candidates: Bool[Tensor, "N C"], mu: Float[Tensor, " N"]) -> Float[Tensor, "N C"]:
    """``Y + mu (1 - Y)``, with one mu per image (ALIM)."""
    return torch.where(candidates, 1.0, mu[:, None])


def likened(similarity: Float[Tensor, "N C"], weight: Float[Tensor, "N C"], temperature: float) -> Float[Tensor, "N C"]:
    """``norm(w softmax(s / T))``, ALIM's softened target; exact where all weighted classes are improbable.

    A row without any weight is zero.
    """
    return (similarity.float() / temperature + weight.log()).softmax(1).nan_to_num(0.0)


def support(p: Float[Tensor, "N C"], candidates: Bool[Tensor, "N C"]) -> Float[Tensor, " N"]:
    """``max_{j in S} p_j / max_{j not in S} p_j`` (ALIM); 1 / `TINY` where every class is a candidate."""
    inside, outside = p.masked_fill(~candidates, 0).amax(1), p.masked_fill(candidates, 0).amax(1)
    return torch.where(outside > 0, inside / outside.clamp_min(TINY), 1 / TINY).clamp_max(1 / TINY)


def lower_quantile(values: Float[Tensor, " N"], share: float, cap: float) -> float:
    """Entry ``floor(N share)`` of the sorted values, counted from 0, at most ``cap``; 0 of no value (ALIM)."""
    if not len(values):
        return 0.0
    return min(float(values.sort().values[min(int(len(values) * share), len(values) - 1)]), cap)


def sinkhorn(
    weights: Float[Tensor, "N C"], prior: Float[Tensor, " C"], iterations: int = 50, relaxed: float = 1e-15
) -> Float[Tensor, "N C"]:
    """Scale columns and rows by turns, so that the columns' means approach the prior and rows sum to 1 (SoLar).

    A row or a column of zeros can reach no sum. Then, as in the authors' code, all zeros count as `relaxed`, and what
    they were given is taken away at the end: a row sums to less than 1 by the mass of classes that it cannot have.

    Args:
        weights: not negative.
        prior: mean of each column.
        iterations: of both scalings; rows come last.
        relaxed: what a zero counts where some row or column holds zeros alone.
    """
    positive = weights > 0
    rows = weights.double()
    if not bool(positive.any(0).all() & positive.any(1).all()):
        rows = torch.where(positive, rows, relaxed)
    for _ in range(iterations):
        rows = normalize(rows * (prior / rows.mean(0).clamp_min(TINIEST)))
    return (rows * positive).to(weights.dtype)


def kept_share(noise_rate: float, epoch: int, ramp: int) -> float:
    """``R(e) = 1 - tau min(e / T, 1)``, the share of images that is learned from; of no ramp, 1 - tau at once."""
    return 1 - noise_rate * (min(epoch / ramp, 1.0) if ramp else 1.0)


def ramped(final: float, epochs: int | float, ramp: int | float) -> float:
    """``final min(epochs / ramp, 1)``, a weight that rises linearly; of no ramp, final at once."""
    return final * (min(epochs / ramp, 1.0) if ramp else 1.0)


def smallest(loss: Float[Tensor, " N"], share: float, human: Bool[Tensor, " N"]) -> Bool[Tensor, " N"]:
    """The share of images with the smallest loss, rounded down, yet one at least where the share is above zero.

    Beyond that share all images labeled by humans.
    """
    order, free = loss.masked_fill(human, torch.inf).argsort(), int((~human).sum())
    chosen = human.clone()
    chosen[order[: max(floor(share * free + 1e-9), min(free, 1) if share > 0 else 0)]] = True
    return chosen


def smallest_per_class(
    values: Float[Tensor, " N"], classes: Int[Tensor, " N"], counts: Int[Tensor, " C"]
) -> Bool[Tensor, " N"]:
    """The images with the smallest values of each class, as many as asked for or as there are.

    Args:
        values: one per image.
        classes: of each image; -1 is never chosen.
        counts: how many of each class.
    """
    order = values.argsort(stable=True)
    order = order[classes[order].argsort(stable=True)]
    sizes = torch.bincount(classes + 1, minlength=len(counts) + 1)
    rank = torch.arange(len(values), device=values.device) - (sizes.cumsum(0) - sizes)[classes[order] + 1]
    chosen = torch.zeros_like(classes, dtype=torch.bool)
    chosen[order] = (classes[order] >= 0) & (rank < counts[classes[order].clamp_min(0)])
    return chosen


def split_clean(loss: Float[Tensor, " N"]) -> Float[Tensor, " N"]:
    """Posterior of being clean: a two-component Gaussian mixture on the losses, component of the smaller mean.

    The mixture's settings are those of DivideMix (arXiv 2002.07394) and Co-Reg (arXiv 2406.18550). Where all
    losses are equal, or there is one image, nothing can be divided and all are clean.

    Args:
        loss: one finite value per image.
    """
    from sklearn.exceptions import ConvergenceWarning  # here, since plans of runs wait for this module
    from sklearn.mixture import GaussianMixture

    values = loss.detach().double().cpu().numpy().reshape(-1, 1)
    if len(values) < 2 or np.ptp(values) < 1e-12:
        return torch.ones_like(loss)
    mixture = GaussianMixture(2, max_iter=10, tol=1e-2, reg_covar=5e-4, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # ten iterations are the method's
        mixture.fit(values)
    posterior = mixture.predict_proba(values)[:, mixture.means_.argmin()]
    return torch.from_numpy(posterior).to(loss)


def repeat_rare(index: Int[Tensor, " M"], ids: Int[Tensor, " N"], power: float) -> Int[Tensor, " L"]:
    """The images of rare classes several times, so that a pass over them draws classes more evenly.

    An image of a class with n of the images comes ``(n_max / n)^power`` times, rounded, and at most `REPEATS` times.

    Args:
        index: the images to draw.
        ids: presumed class of every image, drawn or not.
        power: 0 repeats none, 1 makes all classes equally frequent.
    """
    if power == 0 or len(index) == 0:
        return index
    count = torch.bincount(ids[index])
    times = (count.max() / count.clamp_min(1)) ** power
    return index.repeat_interleave(times.round().long().clamp_max(REPEATS)[ids[index]])


def class_prior(scores: Float[Tensor, "N C"], prior: str | tuple[float, ...]) -> Float[Tensor, " C"]:
    """The class prior that a learner assumes.

    Args:
        scores: mean of the annotators' probabilities.
        prior: ``"uniform"``; ``"estimated"``, the mean of the scores over the images that were annotated; ``"auto"``,
            the estimated one where its largest share is more than `SKEWED` times its smallest, else the uniform one;
            or C positive weights.

    Raises:
        InputError: another word, or a number of weights that is not C, or a weight that is not positive.
    """
    n_classes = scores.shape[1]
    if prior == "uniform":
        return scores.new_full((n_classes,), 1 / n_classes)
    if prior in ("estimated", "auto"):
        total = scores.sum(0) + 1 / n_classes
        skewed = prior == "estimated" or bool(total.max() > SKEWED * total.min())
        return total / total.sum() if skewed else class_prior(scores, "uniform")
    if isinstance(prior, str):
        raise InputError(f"prior is 'uniform', 'estimated', 'auto', 'none' or {n_classes} weights, not '{prior}'.")
    weights = scores.new_tensor(prior)
    if len(weights) != n_classes or not bool(((weights > 0) & weights.isfinite()).all()):
        raise InputError(f"prior needs {n_classes} positive weights, one per class, not {list(prior)}.")
    return weights / weights.sum()
