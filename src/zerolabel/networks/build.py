"""From a name to a network."""

import warnings
from copy import deepcopy

from torch import nn

from zerolabel.errors import InputError
from zerolabel.networks import feature_head, zero_shot
from zerolabel.networks.base import NAMES, Network, NetworkSpec
from zerolabel.networks.encoded import EncodedNetwork, ImageEncoder
from zerolabel.networks.residual import light, preact_resnet18
from zerolabel.networks.timm_backbone import timm_backbone

HIDDEN = 512


def build(name: str, n_classes: int, size: int, *, pretrained: bool = False) -> Network:
    """A new network.

    Args:
        name: one of

            - "light": small residual network for images of up to about 32 pixels;
            - "preact_resnet18": the student of Co-Reg's code, for 28 to 64 pixels;
            - "linear", "mlp": heads over frozen features;
            - any model of timm.
        n_classes: C.
        size: side of the input in pixels, or number of features.
        pretrained: start a timm model from its published weights; with a warning from random ones where they
            cannot be had. The other names have none.

    Raises:
        InputError: no such network, or it cannot read images of this size.
    """
    if n_classes < 1 or size < 1:
        raise InputError(
            f"a network needs at least 1 class and an input size of at least 1, not {n_classes} and {size}."
        )
    spec = NetworkSpec(name, n_classes, size)
    if name in NAMES and pretrained:
        warnings.warn(f"there are no pretrained weights for '{name}'; it starts from random ones.", stacklevel=2)
    if name == "light":
        return Network(light(), 512, spec)
    if name == "preact_resnet18":
        return Network(preact_resnet18(size), 512, spec, head_std=None)
    if name == "linear":
        return Network(nn.LayerNorm(size, elementwise_affine=False), size, spec)
    if name == "mlp":
        layers = (
            nn.LayerNorm(size, elementwise_affine=False),
            nn.Linear(size, HIDDEN),
            nn.LayerNorm(HIDDEN),
            nn.GELU(),
        )
        return Network(nn.Sequential(*layers), HIDDEN, spec)
    backbone, feature_dim, loaded = timm_backbone(name, size, pretrained=pretrained)
    return Network(backbone, feature_dim, spec, pretrained=loaded)


def rebuild(spec: NetworkSpec) -> Network:
    """The architecture that a description means, with random weights; needs no network.

    Raises:
        InputError: the installed libraries do not know it.
    """
    if spec.encoder is None:
        return build(spec.name, spec.n_classes, spec.size)
    if spec.name == zero_shot.NAME:
        return zero_shot.ZeroShotNetwork.build(spec)
    if spec.name == feature_head.NAME:
        return feature_head.HeadedNetwork.build(spec)
    encoder = ImageEncoder.build(spec.encoder)
    return EncodedNetwork(encoder, build(spec.name, spec.n_classes, encoder.feature_dim))


def twin(network: Network) -> Network:
    """A network of the same architecture with an initialization of its own.

    Pretrained weights are shared at the start, as a copy; only the head differs then.
    """
    if not network.pretrained:
        return rebuild(network.spec).to(next(network.parameters()).device)
    other = deepcopy(network)
    other.reset_head()
    return other


def default_name(size: int, n_images: int) -> str:
    """The network for images of a size, where the user names none.

    - up to 32 pixels: "light"; from 20,000 images on "preact_resnet18", as in Co-Reg's paper;
    - up to 96 pixels: "preact_resnet18";
    - above: timm's "resnet18" up to 5,000 images, else "resnet50".

    Args:
        size: side of the input, in pixels.
        n_images: to train on.
    """
    if size <= 32 and n_images < 20_000:
        return "light"
    if size <= 96:
        return "preact_resnet18"
    return "resnet18" if n_images < 5_000 else "resnet50"


__all__ = ["NAMES", "build", "default_name", "rebuild", "twin"]
