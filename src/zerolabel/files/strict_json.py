"""JSON files that may come from elsewhere: bounded in size and depth, each entry once, every number finite."""

import json
import math
from pathlib import Path
from typing import Any

MOST_BYTES = 64 << 20


def read(path: Path, *, most_bytes: int = MOST_BYTES) -> dict[str, Any]:
    """The entries of a file.

    Args:
        path: of a UTF-8 file that holds one object.
        most_bytes: a larger file is refused unread.

    Raises:
        ValueError: it is too large, is nested too deeply, is no object of JSON, holds an entry twice, or a number that
            is not finite; the message says which.
        OSError: it cannot be read.
    """
    if path.stat().st_size > most_bytes:
        raise ValueError(f"{path.name} is larger than {most_bytes >> 20} MiB")
    try:
        text = path.read_text(encoding="utf-8")
        data = json.loads(text, parse_constant=_refuse, parse_float=_finite, object_pairs_hook=_once)
    except RecursionError:
        raise ValueError(f"{path.name} is nested too deeply") from None
    if not isinstance(data, dict):
        raise ValueError(f"{path.name} holds no entries")
    return data


def _refuse(constant: str) -> None:
    raise ValueError(f"it holds {constant}")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"it holds {text:.40}, which is not finite")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an entry is there twice")
    return found


__all__ = ["MOST_BYTES", "read"]
