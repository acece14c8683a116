"""Logs of JSON lines."""

import json
from pathlib import Path
from typing import Any

from zerolabel.errors import InputError


def read_log(path: Path) -> list[dict[str, Any]]:
    """The lines of a log, oldest first; none where there is no file.

    Raises:
        InputError: it is damaged.
    """
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except FileNotFoundError:
        return []
    except ValueError:
        raise InputError(f"{path} is damaged; remove it, and --resume continues without its lines.") from None
