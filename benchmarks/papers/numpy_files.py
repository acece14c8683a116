"""Data sets in one ``.npz`` file, as raw pixels or as encoded images.

Raw: ``x_train``, ``y_train``, ``x_test``, ``y_test``, ``classes``. Encoded: ``data`` and ``offsets`` of the images'
bytes, ``label``, ``split`` (0 for training, 2 for testing), ``classes``.
"""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image


def find(root: Path, key: str) -> Path | None:
    """``KEY*.npz`` in the root, or in its folder KEY; none where there is none."""
    return next(iter(sorted(root.glob(f"{key}_*.npz")) + sorted((root / key).glob(f"{key}*.npz"))), None)


@dataclass(frozen=True)
class Raw:
    """Pixels (N H W) or (N H W 3) and class ids (N)."""

    pixels: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[Image.Image, int]:
        return Image.fromarray(self.pixels[i]), int(self.labels[i])


@dataclass(frozen=True)
class Encoded:
    """Files one after another, where each starts, which are meant, and all class ids."""

    data: np.ndarray
    offsets: np.ndarray
    places: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, i: int) -> tuple[Image.Image, int]:
        at = int(self.places[i])
        content = self.data[self.offsets[at] : self.offsets[at + 1]].tobytes()
        return Image.open(io.BytesIO(content)), int(self.labels[at])


def read(file: Path) -> tuple[tuple[str, ...], dict[str, Raw | Encoded]]:
    """Class names and both splits.

    Raises:
        KeyError: an array is not there.
    """
    with np.load(file, allow_pickle=False) as found:
        arrays = {name: found[name] for name in found.files}
    parts: dict[str, Raw | Encoded] = {}
    names = tuple(str(name) for name in arrays["classes"])
    if "x_train" in arrays:
        return names, {split: Raw(arrays[f"x_{split}"], arrays[f"y_{split}"]) for split in ("train", "test")}
    for split, number in (("train", 0), ("test", 2)):
        places = np.flatnonzero(arrays["split"] == number)
        places = places[np.argsort(arrays["official_index"][places])] if "official_index" in arrays else places
        parts[split] = Encoded(arrays["data"], arrays["offsets"], places, arrays["label"])
    return names, parts
