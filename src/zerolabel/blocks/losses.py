"""Losses: pure functions. Rows are images; every mean over no image at all is zero."""

from math import log

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def mean(values: Float[Tensor, " N"]) -> Float[Tensor, ""]:
    """Mean over images, zero (with a gradient) where there is none."""
    return values.sum() / max(len(values), 1)


def log_probabilities(logits: Float[Tensor, "N C"]) -> Float[Tensor, "N C"]:
    """``log softmax``, in float32 at least."""
    return logits.log_softmax(1, dtype=torch.promote_types(logits.dtype, torch.float32))


def cross_entropy(logits: Float[Tensor, "N C"], target: Float[Tensor, "N C"]) -> Float[Tensor, ""]:
    """``-sum_j t_j log p_j``, with soft targets.

    Example:
        >>> cross_entropy(torch.tensor([[2.0, 0.0]]), torch.tensor([[1.0, 0.0]]))
        tensor(0.1269)
    """
    return mean(-(target * log_probabilities(logits)).sum(1))


def partial_cross_entropy(
    logits: Float[Tensor, "N C"],
    candidates: Bool[Tensor, "N C"],
    weight: Float[Tensor, "N C"] | None = None,
    *,
    full_sets: bool = False,
    floor: float = 0.0,
) -> Float[Tensor, ""]:
    """``-log(sum_{j in S} w_j p_j + floor)`` (CC; Co-Reg's warm-up), a mean over the images that count.

    Args:
        logits: of the network.
        candidates: S; an image with none does not count.
        weight: w, of which some candidate's must be above zero; 1 where none is given.
        full_sets: whether an image whose set is all classes counts. Without weights it teaches nothing, but as one of
            the images that the mean is over it makes the others count less.
        floor: what Co-Reg's code adds inside the logarithm, 1e-5, which bounds the loss.
    """
    rows = candidates.any(1) & (full_sets | ~candidates.all(1))
    log_p = log_probabilities(logits[rows])
    log_p = log_p if weight is None else log_p + weight[rows].to(log_p.dtype).log()
    inside = log_p.masked_fill(~candidates[rows], -torch.inf).logsumexp(1)
    return mean(-(torch.logaddexp(inside, inside.new_tensor(floor).log()) if floor else inside))


def log_complements(logits: Float[Tensor, "N C"]) -> Float[Tensor, "N C"]:
    """``log(1 - p_j)``, finite even where ``p_j`` rounds to 1: for the largest class from the other classes."""
    log_p = log_probabilities(logits)
    largest = torch.zeros_like(log_p, dtype=torch.bool).scatter_(1, log_p.argmax(1, keepdim=True), True)
    others = log_p.masked_fill(largest, -torch.inf).logsumexp(1, keepdim=True)
    return torch.where(largest, others, torch.log1p(-log_p.exp().masked_fill(largest, 0)))


def complement(logits: Float[Tensor, "N C"], candidates: Bool[Tensor, "N C"]) -> Float[Tensor, ""]:
    """``-sum_{j not in S} log(1 - p_j)`` (CR-DPLL): zero where every class is a candidate.

    An image with no candidate does not count.
    """
    rows = candidates.any(1)
    return mean(-log_complements(logits[rows]).masked_fill(candidates[rows], 0).sum(1))


def leveraged_sigmoid(
    logits: Float[Tensor, "N C"], candidates: Bool[Tensor, "N C"], weight: Float[Tensor, "N C"], beta: float
) -> Float[Tensor, ""]:
    """``sum_{j in S} w_j psi(g_j) + beta sum_{j not in S} w_j psi(-g_j)``, ``psi(u) = 1 / (1 + e^u)`` (LWS).

    Args:
        logits: g of the network.
        candidates: S; an image with none does not count.
        weight: w, not negative.
        beta: the leverage.
    """
    g = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return _leveraged((-g).sigmoid(), g.sigmoid(), candidates, weight, beta)


def leveraged_log(
    logits: Float[Tensor, "N C"], candidates: Bool[Tensor, "N C"], weight: Float[Tensor, "N C"], beta: float
) -> Float[Tensor, ""]:
    """``-sum_{j in S} w_j log p_j - beta sum_{j not in S} w_j log(1 - p_j)`` (LWC); see `leveraged_sigmoid`."""
    return _leveraged(-log_probabilities(logits), -log_complements(logits), candidates, weight, beta)


def _leveraged(inside: Tensor, outside: Tensor, candidates: Tensor, weight: Tensor, beta: float) -> Tensor:
    rows = candidates.any(1)
    each = torch.where(candidates, inside, beta * outside)
    return mean((weight * each)[rows].sum(1))


def negative_entropy(logits: Float[Tensor, "N C"]) -> Float[Tensor, ""]:
    """``sum_j p_j log p_j``: minimized by the uniform prediction."""
    log_p = log_probabilities(logits)
    return mean((log_p.exp() * log_p).sum(1))


def weighted_entropy(logits: Float[Tensor, "N C"], weight: Float[Tensor, " N"]) -> Float[Tensor, ""]:
    """``sum_i w_i H(p_i) / sum_i w_i``, the first term of UEO; zero where there is no image.

    Example:
        >>> logits = torch.tensor([[0.0, 0.0], [9.0, 0.0]])
        >>> weighted_entropy(logits, torch.tensor([1.0, 0.0]))  # log 2: the second image has no weight
        tensor(0.6931)
    """
    log_p = log_probabilities(logits)
    entropy = -(log_p.exp() * log_p).sum(1)
    return (weight * entropy).sum() / weight.sum() if len(weight) else entropy.sum()


def entropy_of_mean(logits: Float[Tensor, "N C"], weight: Float[Tensor, " N"]) -> Float[Tensor, ""]:
    """``H(sum_i w_i p_i / sum_i w_i)``, the second term of UEO; zero where there is no image."""
    log_p = log_probabilities(logits)
    if len(weight) == 0:
        return log_p.sum()
    log_mean = (log_p + weight.log()[:, None]).logsumexp(0) - weight.sum().log()
    return -(log_mean.exp() * log_mean).sum()


def squared_error(p: Float[Tensor, "N C"], target: Float[Tensor, "N C"]) -> Float[Tensor, ""]:
    """``sum_j (p_j - t_j)^2``: a sum over classes, a mean over images."""
    return mean((p - target).square().sum(1))


def divergence(target: Float[Tensor, "N C"], logits: Float[Tensor, "N C"]) -> Float[Tensor, ""]:
    """``KL(t || softmax(logits))``, with ``0 log 0 = 0``."""
    return mean((torch.special.xlogy(target, target) - target * log_probabilities(logits)).sum(1))


def generalized_cross_entropy(
    logits: Float[Tensor, "N C"], target: Float[Tensor, "N C"], q: float
) -> Float[Tensor, ""]:
    """``(1 - p_y^q) / q`` (GCE): cross-entropy as q goes to 0, ``1 - p_y``, half the absolute error, at q = 1.

    Args:
        logits: of the network.
        target: one-hot rows.
        q: above 0, at most 1.
    """
    log_p = (target * log_probabilities(logits)).sum(1)
    return mean(-torch.expm1(q * log_p) / q)


def reverse_cross_entropy(
    logits: Float[Tensor, "N C"], target: Float[Tensor, "N C"], least: float = 1e-4
) -> Float[Tensor, ""]:
    """``-sum_j p_j log max(t_j, least)`` (SCE): prediction and target change places."""
    return mean(-(log_probabilities(logits).exp() * target.clamp_min(least).log()).sum(1))


def early_learning(logits: Float[Tensor, "N C"], target: Float[Tensor, "N C"]) -> Float[Tensor, ""]:
    """``log(1 - <t, p>)`` (ELR), with p between 1e-4 and 1 - 1e-4: pulls p toward the running target."""
    p = log_probabilities(logits).exp().clamp(1e-4, 1 - 1e-4)
    return mean((1 - (target * p).sum(1)).clamp_min(1e-4).log())


def jensen_shannon(p: Float[Tensor, "N C"], target: Float[Tensor, "N C"]) -> Float[Tensor, " N"]:
    """Jensen-Shannon divergence of each row in nats: 0 where both are equal, log 2 where they share no class."""
    middle = (p + target) / 2
    halves = [torch.special.xlogy(one, one) - torch.special.xlogy(one, middle) for one in (p, target)]
    nats: Tensor = (halves[0] + halves[1]).sum(1) / 2
    return nats


def prior_divergence(logits: Float[Tensor, "N C"], prior: Float[Tensor, " C"]) -> Float[Tensor, ""]:
    """``KL(prior || mean_i p_i)``: keeps a batch from going to one class; zero where there is no image."""
    if len(logits) == 0:
        return logits.sum()
    log_mean = log_probabilities(logits).logsumexp(0) - log(len(logits))
    total: Tensor = (torch.special.xlogy(prior, prior) - prior * log_mean).sum()
    return total


def divergence_of_mean(logits: Float[Tensor, "N C"], prior: Float[Tensor, " C"]) -> Float[Tensor, ""]:
    """``KL(mean_i p_i || prior)``, under a uniform prior ``log C - H(mean_i p_i)``; zero where there is no image."""
    if len(logits) == 0:
        return logits.sum()
    log_mean = log_probabilities(logits).logsumexp(0) - log(len(logits))
    return (log_mean.exp() * (log_mean - prior.to(log_mean.dtype).log())).sum()


def transport(
    logits: Float[Tensor, "N C"], prior: Float[Tensor, " C"], scale: float
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Cost ``1 - cos`` from images to classes and from classes to images, each weighted by a softmax (POUF).

    Args:
        logits: scaled cosines of images and classes.
        prior: how much each class counts on the way back.
        scale: of the cosines.

    Returns:
        ``mean_i sum_c softmax_c(z_ic) d_ic`` and ``sum_c prior_c sum_i softmax_i(z_ic) d_ic``, where d is
        ``1 - z / scale``; zero where there is no image.
    """
    if len(logits) == 0:
        return logits.sum(), logits.sum()
    z = logits.float()
    cost = 1 - z / scale
    there, back = (z.softmax(1) * cost).sum(1), (z.softmax(0) * cost).sum(0)
    return there.mean(), (prior * back).sum()


def supervised_contrastive(
    similarity: Float[Tensor, "N M"],
    positive: Bool[Tensor, "N M"],
    ignored: Bool[Tensor, "N M"],
) -> Float[Tensor, ""]:
    """``-1/|Pos(i)| sum_{j in Pos(i)} log( exp(s_ij) / sum_{k not in Ign(i)} exp(s_ik) )``.

    Args:
        similarity: ``z_i . z_j / temperature`` of queries and the entries of the contrast set.
        positive: Pos(i), never ignored; a query without a positive does not count.
        ignored: Ign(i), left out of the denominator, the query itself among them.
    """
    count = positive.sum(1)
    rows = count > 0
    left_out = ignored & rows[:, None]
    similarity = similarity.to(torch.promote_types(similarity.dtype, torch.float32))
    pull = similarity.masked_fill(~positive, 0).sum(1)[rows] / count[rows]
    return mean(similarity.masked_fill(left_out, -torch.inf).logsumexp(1)[rows] - pull)


def weighted_contrastive(
    similarity: Float[Tensor, "N M"],
    weight: Float[Tensor, "N M"],
    ignored: Bool[Tensor, "N M"],
) -> Float[Tensor, ""]:
    """``-sum_j w_ij log( exp(s_ij) / sum_{k not in Ign(i)} exp(s_ik) )``; a mean over all queries.

    Args:
        similarity: as in `supervised_contrastive`.
        weight: of each entry as a positive; a query without any adds zero.
        ignored: Ign(i), left out of the denominator; their weight is zero.
    """
    rows = (weight > 0).any(1)
    left_out = ignored & rows[:, None]
    similarity = similarity.to(torch.promote_types(similarity.dtype, torch.float32))
    push = weight.sum(1) * similarity.masked_fill(left_out, -torch.inf).logsumexp(1)
    return mean(push - (weight * similarity).sum(1))


def pairs(
    label: Int[Tensor, " N"], clean: Bool[Tensor, " N"], others: Int[Tensor, " M"], others_clean: Bool[Tensor, " M"]
) -> tuple[Bool[Tensor, "N M"], Bool[Tensor, "N M"]]:
    """Positive and ignored pairs of Co-Reg's noisy contrastive loss (arXiv 2406.18550, section "Noisy contrastive").

    Same pseudo-label and both from the partial split: positive. Same pseudo-label otherwise: ignored, as it is
    not known to be either. The rest are negatives.

    Args:
        label: arg-max pseudo-label of each query.
        clean: whether it came from the partial split.
        others: the same for the contrast set.
        others_clean: the same for the contrast set.
    """
    same = label[:, None] == others
    positive = same & clean[:, None] & others_clean
    return positive, same & ~positive
