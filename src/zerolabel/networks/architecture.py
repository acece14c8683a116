"""Checks that the description of a network can be built: known names, plain numbers within bounds.

A description may come from elsewhere, with a classifier. What it names is built, so that it must not name a place: some
libraries fetch a model by its name, such as ``hf-hub:org/model`` or ``local-dir:/path``.
"""

import math
from collections.abc import Mapping
from typing import TypeGuard

from zerolabel.errors import InputError

LARGEST_SIDE = 4096
"""Pixels of an input."""
LARGEST = 1 << 20
"""Of any number in a description, such as features of a layer."""
MOST_LAYERS = 256
MOST_ENTRIES = 1000
_LAYERS = ("layers", "heads", "attn_pooler_heads")


def check_vision(config: object) -> None:
    """Check that the image encoder of an open_clip configuration can be built without any file or network.

    Args:
        config: ``vision_cfg``.

    Raises:
        InputError: it names a place, or holds something else than bounded numbers and plain words.
    """
    if not isinstance(config, Mapping):
        raise InputError("an image encoder's vision_cfg is not a list of its entries; save the classifier again.")
    check_values(config, "vision_cfg")
    name = config.get("timm_model_name")
    if name:
        check_timm_name(name)
    if "image_size" in config:
        check_side(config["image_size"])
    for part in _LAYERS:
        value = config.get(part)
        for number in value if isinstance(value, list | tuple) else [value]:
            if number is not None and (not is_whole(number) or not 0 < number <= MOST_LAYERS):
                raise InputError(f"an image encoder of {number!r:.40} {part} is not one that can be built.")


def check_timm_name(name: object) -> None:
    """Check that a name is a model of timm, not an address.

    Raises:
        InputError: it is not.
    """
    import timm

    if not isinstance(name, str) or is_place(name):
        raise InputError(f"a network is named {name!r:.80}, which is a place and no model of timm; it is not fetched.")
    if not timm.is_model(name):
        raise InputError(f"the network {name!r:.80} is no model of the installed timm; update timm.")


def check_side(value: object) -> None:
    """Check that a value is an image size.

    Raises:
        InputError: it is not.
    """
    sides = list(value) if isinstance(value, list | tuple) else [value]
    if not 1 <= len(sides) <= 2 or not all(is_whole(side) and 1 <= side <= LARGEST_SIDE for side in sides):
        raise InputError(f"the input size {value!r:.40} is not from 1 to {LARGEST_SIDE} pixels.")


def check_values(data: object, what: str, deep: int = 4) -> None:
    """Check that data contains only words that are not paths, and bounded numbers.

    Raises:
        InputError: it holds something else.
    """
    if isinstance(data, str):
        if is_place(data) or len(data) > 200:
            raise InputError(
                f"{what} names {data!r:.80}, which is a place and no part of a network; it is not fetched."
            )
    elif isinstance(data, bool) or data is None:
        return
    elif isinstance(data, int | float):
        if not math.isfinite(data) or abs(data) > LARGEST:
            raise InputError(f"{what} holds {data!r:.40}, which is out of bounds.")
    elif isinstance(data, Mapping | list | tuple) and deep and len(data) <= MOST_ENTRIES:
        for value in (*data.keys(), *data.values()) if isinstance(data, Mapping) else data:
            check_values(value, what, deep - 1)
    else:
        raise InputError(f"{what} holds something that describes no network.")


def is_place(text: str) -> bool:
    """True if a word is a path, a URL, or a model of a hub."""
    return any(mark in text for mark in (":", "/", "\\", "\x00", "~")) or text.startswith(".")


def is_whole(value: object) -> TypeGuard[int]:
    """True for an integer that is not a bool."""
    return isinstance(value, int) and not isinstance(value, bool)


__all__ = ["LARGEST", "check_side", "check_timm_name", "check_values", "check_vision", "is_place", "is_whole"]
