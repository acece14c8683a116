"""Embeddings of images, written into a folder that every command reads in the place of the images."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from zerolabel.annotate.embedding import Block, PixelEncoder, Step, best_batch_size, encode_range, open_store, ranges
from zerolabel.annotate.writing import Progress, none_readable
from zerolabel.data.embeddings import Origin, own
from zerolabel.data.images import ImageSet
from zerolabel.errors import InputError, nearest
from zerolabel.files import alone, writing
from zerolabel.files.skipped import save_skipped


@dataclass(frozen=True)
class Embedded:
    """Result of `write_embeddings`.

    Attributes:
        folder: what ``embeddings:FOLDER`` reads.
        n_images: readable images, its rows.
        dimensions: D.
        skipped: name of each image without an embedding, and the reason.
        images_per_second: speed without what was known from before; None where that was all.
    """

    folder: Path
    n_images: int
    dimensions: int
    skipped: tuple[tuple[str, str], ...]
    images_per_second: float | None


def write_embeddings(
    images: ImageSet,
    encoder: PixelEncoder,
    folder: Path,
    *,
    dtype: str = "float32",
    batch_size: int | None = None,
    cache: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    progress: Progress = iter,
) -> Embedded:
    """Encode images, and write their embeddings, names, content hashes and sizes, and ``skipped.csv``.

    An interruption loses nothing of what the cache holds: the next call only encodes what is left.

    Args:
        images: N images.
        encoder: the model.
        folder: is new, empty, one that an interruption left, or one of embeddings that ``overwrite`` replaces.
        dtype: "float32" keeps every bit; "float16" takes half the space.
        batch_size: images per call of the encoder; None chooses it by the device.
        cache: folder of image features, shared between runs; None keeps none.
        overwrite: whether embeddings that are in the folder may be replaced.
        progress: wraps the steps of the pass over the images.

    Raises:
        InputError: the folder holds something, no image is readable, or the disk is full.
    """
    if dtype not in own.DTYPES:
        raise InputError(f"--dtype {dtype}: there is no such type{nearest(dtype, own.DTYPES)}")
    _check_folder(folder, overwrite=overwrite)
    size, skipped = best_batch_size(encoder, batch_size), list[tuple[str, str]]()
    origin = Origin(encoder.name, encoder.revision, encoder.preprocessing)
    speed = None
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with alone(folder), own.writing(folder, origin, dtype) as writer:
        for step in progress(_steps(images, encoder, writer, size, cache, skipped)):
            speed = step.images_per_second
        if not writer.n_images:
            raise InputError(none_readable(images, skipped))
        save_skipped(folder, skipped, empty=False)
    return Embedded(folder, writer.n_images, encoder.dimensions, tuple(skipped), speed)


def _check_folder(folder: Path, *, overwrite: bool) -> None:
    """Check that embeddings may be written into a folder; what an interruption left may be replaced."""
    if (folder / own.RECORD).is_file():
        if not overwrite:
            raise InputError(f"{folder} holds embeddings; give --overwrite to replace them, or -o another folder.")
    elif folder.exists() and not (folder.is_dir() and own.is_unfinished(folder)):
        raise InputError(f"{folder} holds something else; give -o a new folder.")


def _steps(
    images: ImageSet,
    encoder: PixelEncoder,
    writer: own.Writer,
    batch_size: int,
    cache: str | os.PathLike[str] | None,
    skipped: list[tuple[str, str]],
) -> Iterator[Step]:
    store, start, cached = open_store(encoder, cache, images), time.perf_counter(), 0
    for place in ranges(len(images)):
        block = Block()
        for done in encode_range(images, place, encoder, batch_size, store, block):
            if place[0] + done == place[1]:
                features, sizes = store.rows(block.sha256)
                writer.add([images.file_names[i] for i in block.index], block.sha256, sizes, features)
            now = (len(skipped) + len(block.skipped), cached + block.cached)
            yield Step(place[0] + done, len(images), *now, time.perf_counter() - start)
        cached += block.cached
        skipped += block.skipped


__all__ = ["Embedded", "write_embeddings"]
