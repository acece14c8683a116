"""The folder that `zerolabel embed` writes: ``embeddings.json``, ``images.parquet`` and ``features-*.safetensors``."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float, Int
from safetensors.torch import save_file
from torch import Tensor

from zerolabel.data.embeddings import vectors
from zerolabel.data.embeddings.embeddings import Embeddings, Origin
from zerolabel.errors import InputError
from zerolabel.files import LOCK, parquet, replacing, strict_json, write_text
from zerolabel.files.plain_json import dumps
from zerolabel.files.skipped import NAME as SKIPPED
from zerolabel.version import __version__

RECORD, NAMES, FEATURES = "embeddings.json", "images.parquet", "features"
FORMAT = 1
SHARD = 1 << 16
"""Rows of a file."""
_PART = re.compile(rf"{FEATURES}-\d{{5}}\.safetensors|{NAMES}|{SKIPPED}|{LOCK}|\..*\.partial")
"""Names in a folder that an interruption leaves."""
DTYPES = {"float32": torch.float32, "float16": torch.float16}


def read(source: str, folder: Path) -> Embeddings:
    """Read what `writing` wrote.

    Raises:
        InputError: the folder is damaged, or of another version.
    """
    try:
        record = strict_json.read(folder / RECORD)
        if record["format"] != FORMAT:
            raise InputError(
                f"{folder / RECORD} has format {record['format']}, this zerolabel reads {FORMAT}; update it."
            )
        origin = Origin(**{name: str(record["origin"][name]) for name in ("model", "revision", "preprocessing")})
        names = parquet.read(folder / NAMES)
        digests = b"".join(map(bytes.fromhex, names["sha256"].to_pylist()))
        sizes = np.stack([names[side].to_numpy() for side in ("width", "height")], 1).astype(np.int64)
        files = [folder / str(name) for name in record["files"]]
    except (OSError, KeyError, TypeError, ValueError, pa.ArrowException) as error:
        if isinstance(error, InputError):
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"the embeddings in {folder} are damaged ({reason}); run `zerolabel embed` again.") from None
    return Embeddings(
        source,
        tuple(names["file_name"].to_pylist()),
        tuple(vectors.of_safetensors(file, FEATURES) for file in files),
        origin,
        np.frombuffer(digests, np.uint8).reshape(-1, 32),
        sizes,
    )


@dataclass
class Writer:
    """Takes embeddings range by range, and puts them into files of `SHARD` rows.

    Attributes:
        folder: that is written.
        origin: what makes the embeddings.
        dtype: of the vectors in the files, one of `DTYPES`.
    """

    folder: Path
    origin: Origin
    dtype: str = "float32"
    _names: list[str] = field(default_factory=list, init=False)
    _digests: list[str] = field(default_factory=list, init=False)
    _sizes: list[Tensor] = field(default_factory=list, init=False)
    _waiting: list[Tensor] = field(default_factory=list, init=False)
    _files: list[str] = field(default_factory=list, init=False)

    @property
    def n_images(self) -> int:
        """Number of images added so far."""
        return len(self._names)

    def add(
        self, names: list[str], sha256: list[str], sizes: Int[Tensor, "n 2"], features: Float[Tensor, "n D"]
    ) -> None:
        """Take some images: their names, content hashes, sizes in pixels, and vectors of length 1."""
        self._names += names
        self._digests += sha256
        self._sizes.append(sizes)
        self._waiting.append(features.to(DTYPES[self.dtype]))
        while sum(map(len, self._waiting)) >= SHARD:
            self._put(SHARD)

    def finish(self) -> None:
        """Write what is left, then the names, and last the record that makes the folder one of embeddings."""
        if sum(map(len, self._waiting)):
            self._put(SHARD)
        sizes = torch.cat(self._sizes).to(torch.int32).numpy()
        table = pa.table(
            {"file_name": self._names, "sha256": self._digests, "width": sizes[:, 0], "height": sizes[:, 1]},
        )
        with replacing(self.folder / NAMES) as partial:
            parquet.write(table, partial)
        told = {
            "format": FORMAT, "zerolabel": __version__, "origin": asdict(self.origin), "dtype": self.dtype,
            "n_images": len(self._names), "files": self._files,
        }  # fmt: skip
        write_text(self.folder / RECORD, dumps(told, indent=2) + "\n")

    def _put(self, count: int) -> None:
        if not self._files:
            (self.folder / RECORD).unlink(missing_ok=True)
        rows = torch.cat(self._waiting)
        self._waiting = [rows[count:]]
        name = f"{FEATURES}-{len(self._files):05}.safetensors"
        with replacing(self.folder / name) as partial:
            save_file({FEATURES: rows[:count].contiguous()}, partial)
        self._files.append(name)


@contextmanager
def writing(folder: Path, origin: Origin, dtype: str) -> Iterator[Writer]:
    """A writer, whose folder is one of embeddings only if the block ends without an exception.

    Those that were there stay until the first file is written.
    """
    writer = Writer(folder, origin, dtype)
    yield writer
    writer.finish()


def is_unfinished(folder: Path) -> bool:
    """True if a folder holds nothing, or only what a `Writer` that was interrupted left there."""
    return all(_PART.fullmatch(path.name) for path in folder.iterdir())


__all__ = ["DTYPES", "RECORD", "Writer", "is_unfinished", "read", "writing"]
