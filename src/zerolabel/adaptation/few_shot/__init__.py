"""Few-shot methods on cached features: a few labeled images and the class names in, a head over features out.

No option is ever chosen on test images: it is a fixed default, or chosen by leaving shots out, as each method says.
"""

from collections.abc import Callable
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor

from zerolabel.adaptation.few_shot.clip_adapter import clip_adapter
from zerolabel.adaptation.few_shot.linear_probe import linear_probe
from zerolabel.adaptation.few_shot.lp_plus_plus import lp_plus_plus
from zerolabel.adaptation.few_shot.tip_adapter import tip_adapter
from zerolabel.adaptation.few_shot.tip_adapter_f import tip_adapter_f
from zerolabel.errors import InputError, nearest
from zerolabel.networks.feature_head import FeatureHead
from zerolabel.options import check_values
from zerolabel.options import defaults as option_defaults

FewShot = Callable[..., FeatureHead]
"""Of shots (M D), their class ids (M), text features (C D) and the logit scale."""

FEW_SHOT: dict[str, FewShot] = {
    "clip-adapter": clip_adapter,
    "tip-adapter": tip_adapter,
    "tip-adapter-f": tip_adapter_f,
    "linear-probe": linear_probe,
    "lp++": lp_plus_plus,
}

__all__ = ["FEW_SHOT", "FewShot", "check", "defaults", "find", "learn"]


def find(name: str) -> FewShot:
    """The method of that name.

    Raises:
        InputError: there is none.
    """
    if name not in FEW_SHOT:
        raise InputError(f"--method {name}: there is no such few-shot method{nearest(name, FEW_SHOT)}")
    return FEW_SHOT[name]


def defaults(name: str) -> dict[str, Any]:
    """The options of a method and their defaults."""
    return option_defaults(find(name))


def check(name: str, options: dict[str, Any]) -> None:
    """Check the options of a method.

    Raises:
        InputError: it has none of a name, or a number is out of its range.
    """
    check_values(name, find(name), options)


def learn(
    name: str,
    features: Float[Tensor, "N D"],
    labels: Int[Tensor, " N"],
    texts: Float[Tensor, "C E"],
    scale: float,
    **options: object,
) -> FeatureHead:
    """A head over features, learned on the images labeled by humans.

    Args:
        name: of the method, see `FEW_SHOT`.
        features: of length 1.
        labels: class ids, -1 where humans gave none.
        texts: text features of length 1. E must be D.
        scale: the factor of the cosine in the model's softmax.
        options: of the method, see `defaults`.

    Raises:
        InputError: there is no such method or option, nothing is labeled, a label is no class, or the sizes differ.
    """
    method = find(name)
    check(name, options)
    given = labels >= 0
    if features.shape[1] != texts.shape[1]:
        raise InputError(
            f"image features have {features.shape[1]} dimensions and text features {texts.shape[1]}; "
            "take both of one model."
        )
    if not bool(given.any()):
        raise InputError(f"--method {name} learns from labeled images; give some by --few-shot.")
    if int(labels.max()) >= len(texts):
        raise InputError(f"a few-shot label is class {int(labels.max())}, but there are {len(texts)} classes.")
    return method(features[given], labels[given], texts, scale, **options)
