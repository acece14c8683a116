"""Initialization of all solvers: the model's own prediction for each image."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


def prototypes(texts: Float[Tensor, "A C D"]) -> Float[Tensor, "C D"]:
    """One text feature per class, of length 1: the mean over the templates (Radford et al., 2021)."""
    return functional.normalize(texts.mean(0), dim=-1)


def log_zero_shot(features: Float[Tensor, "N D"], texts: Float[Tensor, "C D"], scale: float) -> Float[Tensor, "N C"]:
    """``log softmax(scale f . t)``."""
    logits = features @ texts.T
    return torch.log_softmax(logits.mul_(scale), dim=1)


def zero_shot(features: Float[Tensor, "N D"], texts: Float[Tensor, "C D"], scale: float) -> Float[Tensor, "N C"]:
    """``softmax(scale f . t)``: what the model says of each image alone.

    Args:
        features: image features of length 1.
        texts: text features of length 1.
        scale: the factor of the cosine.
    """
    return log_zero_shot(features, texts, scale).exp_()
