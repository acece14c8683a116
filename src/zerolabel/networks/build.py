"""From a name to a network."""

import warnings
from copy import deepcopy
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from zerolabel.errors import InputError
from zerolabel.networks import feature_head, zero_shot
from zerolabel.networks.base import HEADS, NAMES, Network, NetworkSpec
from zerolabel.networks.encoded import EncodedNetwork, ImageEncoder
from zerolabel.networks.residual import light, preact_resnet18
from zerolabel.networks.timm_backbone import timm_backbone
from zerolabel.networks.zero_shot_start import ZeroShotStart, copy_start

HIDDEN = 512


def build(
    name: str, n_classes: int, size: int, *, pretrained: bool = False, texts: Float[Tensor, "A C D"] | None = None
) -> Network:
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
        texts: text features of A prompts times the model's logit scale, for a head over frozen features that starts
            at the zero-shot classifier; none starts it at random.

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
    if name in HEADS:
        hidden, width = hidden_layer(name, size)
        if texts is None:
            return Network(hidden, width, spec)
        return ZeroShotStart(hidden, width, replace(spec, n_prompts=len(texts)), texts)
    backbone, feature_dim, loaded = timm_backbone(name, size, pretrained=pretrained)
    return Network(backbone, feature_dim, spec, pretrained=loaded)


def hidden_layer(head: str, size: int) -> tuple[nn.Module, int]:
    """The layers below the last one of a feature head, and their output width."""
    if head == "linear":
        return nn.LayerNorm(size, elementwise_affine=False), size
    layers = (
        nn.LayerNorm(size, elementwise_affine=False),
        nn.Linear(size, HIDDEN),
        nn.LayerNorm(HIDDEN),
        nn.GELU(),
    )
    return nn.Sequential(*layers), HIDDEN


def rebuild(spec: NetworkSpec) -> Network:
    """The architecture that a description means, with random weights; needs no network.

    Raises:
        InputError: the installed libraries do not know it.
    """
    if spec.encoder is None and spec.name not in (zero_shot.NAME, feature_head.NAME):
        return build(spec.name, spec.n_classes, spec.size, texts=blank_texts(spec, spec.size))
    if spec.name == zero_shot.NAME:
        return zero_shot.ZeroShotNetwork.build(spec)
    if spec.name == feature_head.NAME:
        return feature_head.HeadedNetwork.build(spec)
    encoder = ImageEncoder.build(spec.encoder or {})
    width = encoder.feature_dim
    return EncodedNetwork(encoder, build(spec.name, spec.n_classes, width, texts=blank_texts(spec, width)))


def blank_texts(spec: NetworkSpec, width: int) -> Float[Tensor, "A C D"] | None:
    """Zero text features for weights that are loaded next; none where a head does not start at zero-shot."""
    return None if spec.n_prompts is None else torch.zeros(spec.n_prompts, spec.n_classes, width)


def twin(network: Network) -> Network:
    """A network of the same architecture with an initialization of its own.

    Pretrained weights are shared at the start, as a copy; only the head differs then. So is a zero-shot start.
    """
    if not network.pretrained:
        other = rebuild(network.spec)
        copy_start(network, other)
        return other.to(next(network.parameters()).device)
    other = deepcopy(network)
    other.reset_head()
    return other


__all__ = ["NAMES", "build", "rebuild", "twin"]
