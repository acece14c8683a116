"""Checks the files of a classifier before a network is built, since they may be damaged or untrusted.

Each check raises ValueError, or InputError, with a reason that a sentence can hold.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from zerolabel.errors.printable import is_sound
from zerolabel.files.plain_json import dumps
from zerolabel.networks import NAMES, NetworkSpec, rebuild
from zerolabel.networks.architecture import LARGEST, check_side, check_timm_name, check_values, check_vision, is_whole
from zerolabel.networks.feature_head import NAME as FEATURE_HEAD
from zerolabel.networks.zero_shot import NAME as ZERO_SHOT

CHECKSUM = "config_sha256"
MOST_NETWORKS = 16
_HEADS = ("linear", "mlp")


def checksum(config: Mapping[str, Any]) -> str:
    """Of all entries but its own."""
    rest = {name: value for name, value in config.items() if name != CHECKSUM}
    text = dumps(rest, ascii=True)
    return hashlib.sha256(json.dumps(json.loads(text), sort_keys=True).encode()).hexdigest()


def check_config(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Names, numbers and networks; returns the class names."""
    labels, specs = config["id2label"], config["networks"]
    if not isinstance(labels, dict) or not labels or set(labels) != {str(i) for i in range(len(labels))}:
        raise ValueError("id2label does not count its classes from 0")
    classes = tuple(labels[str(i)] for i in range(len(labels)))
    if not all(isinstance(name, str) and name.strip() and is_sound(name) for name in classes):
        raise ValueError("a class has no name")
    if len(set(classes)) < len(classes):
        raise ValueError("a class is there twice")
    for name, low in (("temperature", 1e-9), ("threshold", 0.0)):
        value = config[name]
        if name == "threshold" and value is None:
            continue
        if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value < math.inf:
            raise ValueError(f"the {name} is {value!r:.40}")
    if not isinstance(config["provenance"], dict):
        raise ValueError("its provenance holds no entries")
    if not isinstance(specs, list) or not 1 <= len(specs) <= MOST_NETWORKS:
        raise ValueError("it names no networks, or too many")
    if config["preprocess"] is not None:
        _check_preprocess(config["preprocess"])
    return classes


def check_checksum(config: Mapping[str, Any], name: str) -> None:
    """Compare the entries with their checksum, if there is one."""
    if CHECKSUM in config and config[CHECKSUM] != checksum(config):
        raise ValueError(f"{name} was changed since it was saved; if that was meant, remove its entry {CHECKSUM}")


def check_spec(spec: NetworkSpec, n_classes: int, side: int | None) -> None:
    """A network's description, against the number of classes and the side of the eval view; none reads embeddings."""
    if not isinstance(spec.name, str) or not is_whole(spec.n_classes) or not is_whole(spec.size):
        raise ValueError("a network's description has an entry of another type")
    if spec.n_classes != n_classes:
        raise ValueError(f"the network {spec.name!r:.80} has {spec.n_classes} classes, but {n_classes} are named")
    if not 1 <= spec.size <= LARGEST:
        raise ValueError(f"the size of a network is {spec.size}")
    if spec.n_prompts is not None and (not is_whole(spec.n_prompts) or not 1 <= spec.n_prompts <= LARGEST):
        raise ValueError(f"a network has {spec.n_prompts!r:.40} prompts")
    if side is None:
        _check_embedding_reader(spec)
    elif spec.encoder is not None:
        _check_encoder(spec)
    elif spec.name not in NAMES:
        check_timm_name(spec.name)
    if side is not None and (spec.encoder is not None or spec.name not in _HEADS):
        check_side(spec.size)
        if spec.size != side:
            raise ValueError(f"a network reads {spec.size} pixels, and the eval view gives {side}")


def check_weights(path: Path, specs: Sequence[NetworkSpec]) -> None:
    """The shapes in the header of the weights against those of the networks, none of which is built for it."""
    with torch.device("meta"):
        wanted = nn.ModuleList([rebuild(spec) for spec in specs]).state_dict()
    with safe_open(path, "pt") as file:
        there = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
        if set(there) != set(wanted):
            odd = min(set(there) ^ set(wanted))
            raise ValueError(f"{path.name} {'has' if odd in there else 'lacks'} the weights {odd!r:.80}")
        for name, tensor in wanted.items():
            found = there[name].get_shape()
            if tuple(found) != tuple(tensor.shape):
                raise ValueError(f"{path.name} has {name} of shape {found}, not {list(tensor.shape)}")
            kind = str(there[name].get_dtype())
            if kind != _KINDS.get(tensor.dtype):
                raise ValueError(f"{path.name} has {name} as {kind}, not {_KINDS.get(tensor.dtype)}")


def check_finite(state: Mapping[str, Tensor]) -> None:
    """Every weight is a number."""
    broken = next((name for name, tensor in state.items() if not bool(tensor.isfinite().all())), None)
    if broken is not None:
        raise ValueError(f"the weights {broken} are not finite")


_KINDS = {torch.float32: "F32", torch.int64: "I64", torch.bool: "BOOL", torch.float16: "F16", torch.bfloat16: "BF16",
          torch.int32: "I32", torch.uint8: "U8", torch.float64: "F64"}  # fmt: skip


def _check_encoder(spec: NetworkSpec) -> None:
    encoder = spec.encoder
    if not isinstance(encoder, dict):
        raise ValueError("an image encoder is described by something else than entries")
    check_values({name: value for name, value in encoder.items() if name != "vision_cfg"}, "an image encoder")
    if not is_whole(encoder.get("embed_dim")) or not 1 <= encoder["embed_dim"] <= LARGEST:
        raise ValueError(f"an image encoder has {encoder.get('embed_dim')!r:.40} features")
    check_vision(encoder.get("vision_cfg"))
    for tower in encoder.get("vision", ()):
        check_timm_name(tower["name"])
        check_side(tower["size"])
    if spec.name not in (*_HEADS, ZERO_SHOT, FEATURE_HEAD):
        raise ValueError(f"the head {spec.name!r:.80} of an image encoder is unknown")
    _check_head(spec)


def _check_embedding_reader(spec: NetworkSpec) -> None:
    if spec.encoder is not None or spec.name not in (*_HEADS, ZERO_SHOT, FEATURE_HEAD):
        raise ValueError(f"the network {spec.name!r:.80} does not read embeddings")
    _check_head(spec)


def _check_head(spec: NetworkSpec) -> None:
    if spec.head is not None:
        check_values(spec.head, "a head")
        if not isinstance(spec.head, dict) or not all(
            isinstance(shape, list) and all(is_whole(side) and side >= 0 for side in shape)
            for shape in spec.head.values()
        ):
            raise ValueError("a head has shapes that are none")


def _check_preprocess(data: object) -> None:
    if not isinstance(data, dict):
        raise ValueError("its eval view holds no entries")
    check_side(data["size"])
    for name in ("mean", "std"):
        values = data[name]
        if not isinstance(values, list) or not all(isinstance(one, int | float) for one in values):
            raise ValueError(f"the {name} of its eval view are no numbers")
        if not all(abs(one) < 1e6 for one in values) or any(isinstance(one, bool) for one in values):
            raise ValueError(f"the {name} of its eval view are out of bounds")


__all__ = [
    *("CHECKSUM", "check_checksum", "check_config", "check_finite", "check_spec", "check_weights", "checksum"),
]
