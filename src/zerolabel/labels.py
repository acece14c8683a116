"""Label distributions: pure functions of probabilities and candidate sets, rows are images."""

import warnings

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from torch import Tensor

from zerolabel.errors import InputError

TINY = 1e-12


def normalise(rows: Float[Tensor, "N C"]) -> Float[Tensor, "N C"]:
    """Scale each row to sum 1; a row of zeros stays zero."""
    return rows / rows.sum(1, keepdim=True).clamp_min(TINY)


def uniform_over(candidates: Bool[Tensor, "N C"]) -> Float[Tensor, "N C"]:
    """The uniform distribution over each candidate set; zero for an empty set."""
    return normalise(candidates.float())


def restrict(p: Float[Tensor, "N C"], candidates: Bool[Tensor, "N C"]) -> Float[Tensor, "N C"]:
    """Probabilities inside the candidate set, renormalised; uniform over the set where no mass is left in it."""
    inside = p * candidates
    lost = inside.sum(1, keepdim=True) < TINY
    return torch.where(lost, uniform_over(candidates).to(p.dtype), normalise(inside))


def sharpen(p: Float[Tensor, "N C"], temperature: float) -> Float[Tensor, "N C"]:
    """``norm(p^(1/T))``; T below 1 sharpens. Scaled by the row's maximum first, so that no row underflows."""
    return normalise((p / p.amax(1, keepdim=True).clamp_min(TINY)) ** (1 / temperature))


def align(p: Float[Tensor, "N C"], prior: Float[Tensor, " C"]) -> Float[Tensor, "N C"]:
    """Distribution alignment: ``norm(p * prior / mean p)`` moves the mean prediction towards the class prior."""
    return normalise(p * prior / p.mean(0).clamp_min(TINY))


def one_hot(ids: Int[Tensor, " N"], n_classes: int) -> Float[Tensor, "N C"]:
    """One-hot rows; an id of -1 gives a row of zeros."""
    rows = torch.zeros(len(ids), n_classes, device=ids.device)
    return rows.scatter_(1, ids.clamp_min(0)[:, None], (ids >= 0).float()[:, None])


def split_clean(loss: Float[Tensor, " N"]) -> Float[Tensor, " N"]:
    """Posterior of being clean: a two-component Gaussian mixture on the losses, component of the smaller mean.

    The mixture's settings are those of DivideMix (arXiv 2002.07394) and Co-Reg (arXiv 2406.18550). Where all
    losses are equal, or there is one image, nothing can be divided and all are clean.

    Args:
        loss: one finite value per image.
    """
    values = loss.detach().double().cpu().numpy().reshape(-1, 1)
    if len(values) < 2 or np.ptp(values) < 1e-12:
        return torch.ones_like(loss)
    mixture = GaussianMixture(2, max_iter=10, tol=1e-2, reg_covar=5e-4, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # ten iterations are the method's
        mixture.fit(values)
    posterior = mixture.predict_proba(values)[:, mixture.means_.argmin()]
    return torch.from_numpy(posterior).to(loss)


def class_prior(scores: Float[Tensor, "N C"], prior: str | tuple[float, ...]) -> Float[Tensor, " C"]:
    """The class prior that a learner assumes.

    Args:
        scores: mean of the annotators' probabilities.
        prior: ``"uniform"``; ``"estimated"``, the mean of the scores over the images that were annotated; or C
            positive weights.

    Raises:
        InputError: another word, or a number of weights that is not C, or a weight that is not positive.
    """
    n_classes = scores.shape[1]
    if prior == "uniform":
        return scores.new_full((n_classes,), 1 / n_classes)
    if prior == "estimated":
        total = scores.sum(0) + 1 / n_classes
        return total / total.sum()
    if isinstance(prior, str):
        raise InputError(f"prior is 'uniform', 'estimated', 'none' or {n_classes} weights, not '{prior}'.")
    weights = scores.new_tensor(prior)
    if len(weights) != n_classes or not bool(((weights > 0) & weights.isfinite()).all()):
        raise InputError(f"prior needs {n_classes} positive weights, one per class, not {list(prior)}.")
    return weights / weights.sum()
