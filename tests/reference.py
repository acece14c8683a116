"""Reference data that may lie beside a checkout: what authors' code gave, and real outputs of real models."""

import os
from pathlib import Path

import pytest

FOLDER = Path(os.environ.get("ZEROLABEL_REFERENCE", Path(__file__).resolve().parents[2] / "shared"))


def reference(*parts: str) -> Path:
    """A file or folder of the reference data; the test is skipped where it is not on this machine."""
    path = FOLDER.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"reference data {'/'.join(parts)} is not here; set ZEROLABEL_REFERENCE to its folder")
    return path
