"""Embeddings of class names in a file, in place of a model that encodes texts."""

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from torch import Tensor

from zerolabel.data.classes import plain
from zerolabel.data.embeddings import vectors
from zerolabel.data.embeddings.embeddings import check, unit
from zerolabel.errors import InputError
from zerolabel.files import parquet
from zerolabel.files.delimited import LABEL_COLUMNS, find_column

SUFFIXES = (".npy", ".safetensors", ".parquet")
SCALE = 100.0
"""CLIP's logit scale once trained, where a file says no other."""


@dataclass(frozen=True, eq=False)
class ClassTexts:
    """Embeddings of C class names under A prompts.

    Attributes:
        path: of the file.
        features: of length 1.
        names: of the classes; empty where their order is that of the classes that are asked about.
        logit_scale: the factor of the cosine in the softmax.
    """

    path: str
    features: Float[Tensor, "A C D"] = field(repr=False)
    names: tuple[str, ...] = ()
    logit_scale: float = SCALE

    @classmethod
    def open(cls, path: str) -> "ClassTexts":
        """Read a file.

        Args:
            path: of a .npy or .safetensors, whose only array is C x D, or A x C x D for A prompts, in the order of the
                classes (the metadata of the latter may have a ``logit_scale``); or of a .parquet with a column of class
                names and one of vectors.

        Raises:
            InputError: there is no such file, it cannot be read, or a vector is not finite or not of length 1.
        """
        place = Path(path).expanduser()
        if not place.is_file():
            raise InputError(f"there is no file of class embeddings {path}; check the path after the @.")
        names: tuple[str, ...] = ()
        scale = SCALE
        if place.suffix.lower() == ".parquet":
            names, array = _of_parquet(place)
        elif place.suffix.lower() == ".npy":
            array = _of_npy(place)
        else:
            array, scale = _of_safetensors(place)
        if array.ndim not in (2, 3) or array.dtype not in vectors.NUMBERS or 0 in array.shape:
            raise InputError(
                f"the class embeddings {path} are {array.dtype} of {' x '.join(map(str, array.shape))}; give floats of "
                "classes x dimensions, or of prompts x classes x dimensions."
            )
        flat = array.reshape(-1, array.shape[-1]).astype(np.float32)
        check(flat, path)
        features = torch.from_numpy(unit(flat)).reshape(-1, *array.shape[-2:])
        return cls(path, features, names, scale)

    @property
    def dimensions(self) -> int:
        """D."""
        return self.features.shape[2]

    @cached_property
    def revision(self) -> str:
        """Hash of the features, 16 hexadecimal digits."""
        return hashlib.sha256(self.features.numpy().tobytes()).hexdigest()[:16]

    @property
    def prompts(self) -> tuple[str, ...]:
        """A name for each prompt, in the form of a template."""
        if len(self.features) == 1:
            return ("{}",)
        return tuple(f"prompt {a}: {{}}" for a in range(len(self.features)))

    def of(self, classes: tuple[str, ...]) -> Float[Tensor, "A C D"]:
        """The features of the classes that are asked about.

        Raises:
            InputError: a class has none, or without names their number is another.
        """
        if not self.names:
            if len(classes) != self.features.shape[1]:
                raise InputError(
                    f"{self.path} has embeddings of {self.features.shape[1]} classes and --classes names "
                    f"{len(classes)}; give one for each class, in the same order."
                )
            return self.features
        places = {plain(name): place for place, name in enumerate(self.names)}
        missing = [name for name in classes if plain(name) not in places]
        if missing:
            raise InputError(f"{self.path} has no embedding of the class '{missing[0]}'; add a row for it.")
        return self.features[:, [places[plain(name)] for name in classes]]


def _of_npy(path: Path) -> np.ndarray:
    try:
        array: np.ndarray = np.load(path, allow_pickle=False)
        return array
    except (OSError, ValueError, EOFError) as error:
        raise _unreadable(path, error) from None


def _of_safetensors(path: Path) -> tuple[np.ndarray, float]:
    """Its only tensor, and the logit scale in its metadata."""
    try:
        with safe_open(path, "np") as file:
            (name,) = file.keys()
            return np.asarray(file.get_tensor(name)), float((file.metadata() or {}).get("logit_scale", SCALE))
    except (OSError, SafetensorError, ValueError) as error:
        raise _unreadable(path, error) from None


def _of_parquet(path: Path) -> tuple[tuple[str, ...], np.ndarray]:
    """Names and vectors."""
    try:
        schema = parquet.schema(path)
        column, place = vectors.vector_column(schema), find_column(schema.names, (*LABEL_COLUMNS, "name"))
        if column is None or place is None:
            raise ValueError("it has no column 'class' or no column of vectors")
        table = parquet.read(path, [schema.names[place], column])
        names = tuple(map(str, table[schema.names[place]].to_pylist()))
        return names, np.stack([np.asarray(row, np.float32) for row in table[column].to_pylist()])
    except (OSError, ValueError, pa.ArrowException) as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: BaseException) -> InputError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return InputError(f"the class embeddings {path} cannot be read ({reason}); write the file again.")


__all__ = ["SUFFIXES", "ClassTexts"]
