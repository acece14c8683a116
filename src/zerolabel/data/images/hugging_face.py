"""Images of Hugging Face data sets: folders of theirs on this machine, or, where one is named, the hub."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from zerolabel.data.images import folders, parquets
from zerolabel.data.images.decoding import Unreadable, one_line
from zerolabel.data.images.stores import Found
from zerolabel.data.images.urls import content
from zerolabel.errors import InputError

_SAVED = ("state.json", "dataset_dict.json")


@dataclass(frozen=True, eq=False)
class Loaded:
    """Rows of a `datasets.Dataset` that lies on disk.

    Attributes:
        dataset: with its images left encoded.
        column: the one that holds images.
    """

    dataset: Any
    column: str

    def read(self, row: int, name: str) -> bytes:
        """Read an image; see `zerolabel.data.images.stores.Store.read`."""
        value = self.dataset[row][self.column] or {}
        data: bytes | None = value.get("bytes")
        if data is None and not value.get("path"):
            raise Unreadable("the row holds no image")
        return content(value["path"]) if data is None else data


def find(spec: str) -> Found:
    """The images of a data set.

    Args:
        spec: a folder of images, of parquet files, or one that ``save_to_disk`` wrote; else a name on the hub, which
            is fetched over the network. ``:split`` may follow.

    Raises:
        InputError: there is no such data set or split, it has no images, or the package ``datasets`` is missing.
    """
    path, split = (spec, "") if Path(spec).exists() else _divided(spec)
    folder = Path(path)
    if not folder.is_dir():
        if path.startswith((".", "/", "~")) or folder.exists():
            raise InputError(f"there is no folder of a data set {path}; check the path.")
        return _loaded(path, split, _packaged().load_dataset)
    if any((folder / name).is_file() for name in _SAVED):
        return _loaded(path, split, lambda name, **_: _packaged().load_from_disk(name))
    inside = folders.walk(path)
    if inside.parquets:
        chosen = [str(folder / name) for name in inside.parquets if not split or _of_split(name, split)]
        chosen = [place for place in chosen if parquets.image_column(place) is not None]
        if chosen:
            return parquets.find(chosen, path)
    where = str(folder / split)
    found = folders.walk(where) if Path(where).is_dir() else folders.Inside((), (), ())
    if not found.images:
        raise InputError(f"there is no image in the data set {spec}; give a folder of images or of parquet files.")
    return folders.images(where, found)


def _divided(spec: str) -> tuple[str, str]:
    path, colon, split = spec.rpartition(":")
    return (path, split) if colon and "/" not in split and "\\" not in split else (spec, "")


def _of_split(name: str, split: str) -> bool:
    """True for file names of a split, such as ``data/train-00000-of-00002.parquet`` and ``train/0.parquet``."""
    return re.search(rf"(^|[/_.-]){re.escape(split)}([/_.-])", name) is not None


def _packaged() -> ModuleType:
    try:
        import datasets
    except ImportError:
        raise InputError("this data set needs a package; run `pip install zerolabel-vision[datasets]`.") from None
    package: ModuleType = datasets
    return package


def _loaded(name: str, split: str, load: Callable[..., Any]) -> Found:
    """Rows through the package ``datasets``."""
    package = _packaged()
    try:
        loaded = load(name, **({"split": split} if split else {}))
    except Exception as error:  # the network, the hub and builders raise almost anything
        raise InputError(f"the data set hf:{name} cannot be loaded ({one_line(error)}); check its name.") from None
    if isinstance(loaded, package.DatasetDict):
        split = split or (next(iter(loaded)) if len(loaded) == 1 else "")
        if split not in loaded:
            raise InputError(
                f"the data set hf:{name} has the splits {', '.join(loaded)}; add one, as in hf:{name}:train."
            )
        loaded = loaded[split]
    images = [column for column, kind in loaded.features.items() if isinstance(kind, package.Image)]
    if not images or not len(loaded):
        raise InputError(f"the data set hf:{name} has no column of images; give one that has.")
    column = "image" if "image" in images else images[0]
    loaded = loaded.cast_column(column, package.Image(decode=False))
    prefix, digits = f"{split}/" if split else "", len(str(len(loaded) - 1))
    return Found(name, tuple(f"{prefix}{row:0{digits}}" for row in range(len(loaded))), Loaded(loaded, column))
