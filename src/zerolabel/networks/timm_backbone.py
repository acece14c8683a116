"""A model of timm as a backbone, with published weights where they can be had."""

import warnings
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from torch import nn

from zerolabel.errors import InputError, nearest
from zerolabel.files.downloads import check_hash, reachable
from zerolabel.networks.architecture import is_place
from zerolabel.networks.base import NAMES


def timm_backbone(name: str, size: int, *, pretrained: bool, file: Path | None = None) -> tuple[nn.Module, int, bool]:
    """A timm model without its head.

    Args:
        name: of the model.
        size: side of the input in pixels; models that are built for one size are built for this one.
        pretrained: ask for published weights; where they cannot be had the model is random, with a warning.
        file: weights in the place of the published ones.

    Returns:
        The model, its number of features, and whether it has published weights.

    Raises:
        InputError: no such model, or it cannot read images of this size.
    """
    import timm

    if is_place(name):
        raise InputError(f"the network '{name}' is a place, and nothing is fetched from it; name a model of timm.")
    if not timm.is_model(name):
        near = nearest(name, [*NAMES, *timm.list_models()])
        if not near.startswith("; did"):
            near = f"; known: {', '.join(NAMES)} and the models of timm.list_models()."
        raise InputError(f"there is no network '{name}'{near}")
    published = timm.list_models(f"{name.partition('.')[0]}.*", pretrained=True)
    if "." in name and name not in published:
        raise InputError(f"there are no weights for the network '{name}'{nearest(name, published)}")
    options: dict[str, Any] = {"num_classes": 0}
    if timm.get_pretrained_cfg_value(name, "fixed_input_size"):
        options["img_size"] = size
    weights = _weights(name) if pretrained else None
    weights = weights if file is None else {"pretrained": True, "pretrained_cfg_overlay": {"file": str(file)}}
    try:
        model = cast(nn.Module, timm.create_model(name, **(weights or {}), **options))
        return model, _feature_dim(model, size), weights is not None
    except (AssertionError, RuntimeError, TypeError, ValueError, OSError, SafetensorError) as error:
        reason = _first_line(error)
        raise InputError(f"the network '{name}' cannot read images of {size} pixels ({reason}); change one.") from None


@torch.no_grad()
def _feature_dim(model: nn.Module, size: int) -> int:
    """Number of features, seen on one blank image."""
    features = model.eval()(torch.zeros(1, 3, size, size))
    model.train()
    if features.ndim != 2:
        raise ValueError("it gives a map, not a vector")
    return int(features.shape[1])


def _weights(name: str) -> dict[str, Any] | None:
    """Options that load published weights: from the cache without asking the network, else from the hub, else none."""
    import timm
    from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache

    file = "model.safetensors"
    published = timm.get_pretrained_cfg(name)
    hub = published.hf_hub_id if published else None
    if not hub:
        reason = "none are published on the hub"
    elif isinstance(path := try_to_load_from_cache(hub, file), str):
        return {"pretrained": True, "pretrained_cfg_overlay": {"file": path}}
    elif constants.HF_HUB_OFFLINE or not reachable(constants.ENDPOINT, timeout=5.0):
        reason = f"they are not in the cache, and {constants.ENDPOINT} cannot be reached"
    else:
        try:
            path = hf_hub_download(hub, file)
            check_hash(Path(path))
            return {"pretrained": True, "pretrained_cfg_overlay": {"file": path}}
        except Exception as error:  # the client of the hub raises those of the library beneath it
            reason = _first_line(error)
    warnings.warn(f"no pretrained weights for '{name}': {reason}; it starts from random ones.", stacklevel=4)
    return None


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


__all__ = ["timm_backbone"]
