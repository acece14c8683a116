"""JSON that every reader understands: a number that is not finite is null, for JSON has no other word for it."""

import json
import math
from collections.abc import Mapping


def finite(data: object) -> object:
    """Plain data in which None stands for every NaN and infinity, and lists for tuples."""
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if isinstance(data, Mapping):
        return {str(key): finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [finite(value) for value in data]
    return data


def dumps(data: object, *, indent: int | None = None, ascii: bool = False) -> str:
    """Plain data as the text of JSON; strict, see `finite`."""
    return json.dumps(finite(data), indent=indent, ensure_ascii=ascii, allow_nan=False)


__all__ = ["dumps", "finite"]
