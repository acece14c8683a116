"""Solvers that pass over all images at once and train nothing: features in, a posterior of the classes out."""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor

from zerolabel.adaptation.method_table import MethodTable
from zerolabel.adaptation.transduction.em_dirichlet import em_dirichlet
from zerolabel.adaptation.transduction.gpua import aligned_head, gpua
from zerolabel.adaptation.transduction.inductive import inductive
from zerolabel.adaptation.transduction.knn import knn
from zerolabel.adaptation.transduction.moon import moon
from zerolabel.adaptation.transduction.stata import stata
from zerolabel.adaptation.transduction.transclip import transclip
from zerolabel.adaptation.transduction.zero_shot import prototypes, zero_shot
from zerolabel.adaptation.transduction.zlap import zlap
from zerolabel.errors import InputError
from zerolabel.networks.feature_head import FeatureHead

Solver = Callable[..., Float[Tensor, "N C"]]
"""Of features (N D) and text features (C D), all of length 1, and the logit scale; options are keyword-only."""

SOLVERS: dict[str, Solver] = {
    "stata": stata,
    "moon": moon,
    "transclip": transclip,
    "zlap": zlap,
    "em_dirichlet": em_dirichlet,
    "knn": knn,
    "gpua": gpua,
}

TABLE = MethodTable("method", SOLVERS)
find_solver, defaults, check, parse_solver = TABLE.find, TABLE.defaults, TABLE.check, TABLE.parse

Head = Callable[..., FeatureHead]
"""As `Solver`; the solver's posterior is the softmax of what the head says of the images."""

HEADS: dict[str, Head] = {"gpua": aligned_head}
"""Heads of solvers that classify single images themselves; the posteriors of the others are read by `inductive`."""

RARE = 4
"""A class is present that has at least this part of an even share of the images, and at least one image."""

__all__ = [
    "SOLVERS",
    "Solver",
    "check",
    "defaults",
    "find_solver",
    "fit_head",
    "inductive",
    "parse_solver",
    "present_share",
    "prototypes",
    "solve",
    "zero_shot",
]


def solve(
    name: str,
    features: Float[Tensor, "N D"],
    texts: Float[Tensor, "C E"] | Float[Tensor, "A C E"],
    scale: float,
    **options: object,
) -> Float[Tensor, "N C"]:
    """Posterior of the classes for all images together, by a solver of `SOLVERS`.

    Args:
        name: of the solver.
        features: image features of length 1; a row of zeros is an image of which nothing is known.
        texts: text features of length 1 per class, or per template and class; templates are averaged, see
            `prototypes`. E must be D.
        scale: the factor of the cosine in the model's softmax.
        options: of the solver, see `defaults`.

    Returns:
        Rows that sum to 1; zero where the features are.

    Raises:
        InputError: there is no such solver or option, a number is out of its range, the sizes do not match, a
            feature is not finite, or the solver is for few of many classes and most of them are there.
    """
    solver = find_solver(name)
    check(name, options)
    texts = prototypes(texts) if texts.dim() == 3 else texts
    if features.shape[1] != texts.shape[1]:
        raise InputError(
            f"image features have {features.shape[1]} dimensions and text features {texts.shape[1]}; "
            "take both of one model."
        )
    if not (bool(features.isfinite().all()) and bool(texts.isfinite().all())):
        raise InputError("some features are not finite numbers; delete the cache of features and annotate again.")
    there = features.any(1)
    most = {**defaults(name), **options}.get("present", 1.0)
    if most < 1:
        refuse(name, features[there], texts, scale, most)
    posterior = features.new_zeros(len(features), len(texts))
    if bool(there.all()):
        return solver(features, texts, scale, **options) if len(features) else posterior
    if bool(there.any()):
        posterior[there] = solver(features[there], texts, scale, **options)
    return posterior


def fit_head(
    name: str,
    features: Float[Tensor, "N D"],
    texts: Float[Tensor, "C D"],
    scale: float,
    **options: object,
) -> FeatureHead:
    """A head that answers for single images as a solver does for these: its own, else the one of its posterior.

    Args:
        name: of the solver.
        features: image features of length 1.
        texts: text features of length 1 per class.
        scale: the factor of the cosine in the model's softmax.
        options: of the solver, see `defaults`.

    Raises:
        InputError: as `solve`.
    """
    if name in HEADS:
        check(name, options)
        return HEADS[name](features, texts, scale, **options)
    return inductive(features, solve(name, features, texts, scale, **options), texts, scale)


def refuse(name: str, features: Float[Tensor, "N D"], texts: Float[Tensor, "C D"], scale: float, most: float) -> None:
    """Reject a solver for few of many classes on images of most of them, where it fails.

    Raises:
        InputError: it does.
    """
    share = present_share(zero_shot(features, texts, scale)) if len(features) else 0.0
    if share > most and len(texts) > 1:
        raise InputError(
            f"--method {name} is for images of a few out of many classes, and by zero-shot {share:.0%} of the "
            f"{len(texts)} classes are among these {len(features)} images, where it loses accuracy; take "
            "--method stata or transclip, or insist with --set present=1."
        )


def present_share(p: Float[Tensor, "N C"]) -> float:
    """Share of the classes that seem to be there: those with an expected image or more, and a quarter of an even share.

    The expected number of images of a class is the sum of its probabilities. On CLIP's answers for Oxford Pets and
    Caltech 101 the share stays within .13 of the truth where a tenth to four tenths of the classes are there, and is
    .99 and more where all are.

    Args:
        p: zero-shot probabilities.
    """
    least = max(1.0, len(p) / (RARE * p.shape[1]))
    return float((p.sum(0) >= least).double().mean())
