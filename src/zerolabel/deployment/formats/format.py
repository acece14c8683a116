"""A format beside ONNX: its converter, its files, and where it can be run."""

import importlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from zerolabel.deployment.classifier import Classifier
from zerolabel.deployment.exporter import quiet
from zerolabel.errors import InputError
from zerolabel.files import atomic
from zerolabel.files.leftovers import suffix

Answer = Callable[[Float[np.ndarray, "N 3 S S"]], np.ndarray]
"""From images, RGB in [0, 1], to probabilities (N, C), by what was written."""


@dataclass(frozen=True)
class Format:
    """A format that its own project's converter writes, which is an extra of this package.

    Attributes:
        name: after ``--format``, and of the extra.
        suffix: of the file; with its dot.
        package: module that converts.
        convert: writes ``model`` with this suffix, and what belongs to it, into a folder, for a classifier and a
            precision of the stored weights; returns how to run it, or None where this system cannot.
        precisions: that it can store.
    """

    name: str
    suffix: str
    package: str
    convert: Callable[[Classifier, Path, str], Answer | None]
    precisions: tuple[str, ...] = ("float32", "float16")

    def check(self, precision: str) -> None:
        """Check that the format has a precision and that its converter is there.

        Raises:
            InputError: it is not.
        """
        if precision not in self.precisions:
            raise InputError(
                f"--format {self.name} stores {' or '.join(self.precisions)} alone; leave --precision out."
            )
        try:
            with quiet():
                importlib.import_module(self.package)
        except Exception as error:  # a converter that does not fit its libraries raises almost anything
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise InputError(
                f"--format {self.name} needs the package {self.package} ({reason}); "
                f"pip install 'zerolabel-vision[{self.name}]'."
            ) from None

    def move(self, folder: Path, path: Path) -> int:
        """Put what `convert` wrote in its place, the file that names the model last; returns the number of bytes."""
        made = sorted(folder.iterdir(), key=lambda one: one.suffix == self.suffix)
        for one in made:
            target = path.with_suffix(one.suffix)
            if one.is_dir():
                partial = target.with_name(f".{target.name}{suffix()}")
                shutil.copytree(one, partial)
                shutil.rmtree(target, ignore_errors=True)
                partial.rename(target)
            else:
                with atomic(target) as partial:
                    partial.write_bytes(one.read_bytes())
        return sum(file.stat().st_size for one in made for file in (one, *one.rglob("*")) if file.is_file())


__all__ = ["Answer", "Format"]
