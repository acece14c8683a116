"""Few-shot methods on cached features: a few labeled images and the class names in, a head over features out.

No option is ever chosen on test images: it is a fixed default, or chosen by leaving shots out, as each method says.
"""

from collections.abc import Callable

from jaxtyping import Float, Int
from torch import Tensor

from zerolabel.adaptation.few_shot.clip_adapter import clip_adapter
from zerolabel.adaptation.few_shot.linear_probe import linear_probe
from zerolabel.adaptation.few_shot.lp_plus_plus import lp_plus_plus
from zerolabel.adaptation.few_shot.tip_adapter import tip_adapter
from zerolabel.adaptation.few_shot.tip_adapter_f import tip_adapter_f
from zerolabel.adaptation.method_table import MethodTable
from zerolabel.errors import InputError
from zerolabel.networks.feature_head import FeatureHead

FewShot = Callable[..., FeatureHead]
"""Of shots (M D), their class ids (M), text features (C D) and the logit scale."""

FEW_SHOT: dict[str, FewShot] = {
    "clip-adapter": clip_adapter,
    "tip-adapter": tip_adapter,
    "tip-adapter-f": tip_adapter_f,
    "linear-probe": linear_probe,
    "lp++": lp_plus_plus,
}

TABLE = MethodTable("few-shot method", FEW_SHOT)
find, defaults, check, parse_few_shot = TABLE.find, TABLE.defaults, TABLE.check, TABLE.parse

__all__ = ["FEW_SHOT", "FewShot", "check", "defaults", "find", "learn", "parse_few_shot"]


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
