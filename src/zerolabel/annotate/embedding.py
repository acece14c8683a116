"""The pass over the images: read, decoded and encoded, one range after the other, in bounded memory."""

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from zerolabel.annotate import feature_cache
from zerolabel.annotate.feature_cache import FeatureCache
from zerolabel.annotate.known import FeatureStore, KnownFeatures, look_up
from zerolabel.data.images import ImageSet, Unreadable, decode, enough_memory, sha256
from zerolabel.errors import InputError
from zerolabel.files import writing
from zerolabel.files.leftovers import suffix
from zerolabel.vlms.clip import DualEncoder
from zerolabel.vlms.embedded import EmbeddedImages
from zerolabel.vlms.encoder import Encoder
from zerolabel.vlms.vision import EmbeddedVision, VisionEncoder

FeatureSource = Encoder | VisionEncoder | EmbeddedVision
"""Models whose image features are read."""
PixelEncoder = DualEncoder | VisionEncoder
"""Models that compute them."""

NOT_FINITE = "the model gives it features or scores that are no finite numbers"
"""The reason why an image is skipped that a model overflows on."""


@dataclass(frozen=True)
class Step:
    """Progress of the pass over the images.

    Attributes:
        done: images dealt with, readable or not.
        total: N.
        skipped: unreadable ones so far.
        cached: images so far whose features were known from before.
        seconds: since the start of the pass.
    """

    done: int
    total: int
    skipped: int
    cached: int
    seconds: float

    @property
    def images_per_second(self) -> float | None:
        """Mean speed so far of what was not known from before; None where that is nothing."""
        new = self.done - self.cached
        return new / max(self.seconds, 1e-9) if new else None

    @property
    def seconds_left(self) -> float:
        """Estimate from the mean speed so far."""
        return (self.total - self.done) * self.seconds / max(self.done, 1)


@dataclass
class Block:
    """A range of the images, once it is encoded.

    Attributes:
        sha256: content hash of each readable image.
        index: its place in the image set.
        skipped: name of each unreadable one, and the reason.
        cached: how many features were known from before.
    """

    sha256: list[str] = field(default_factory=list)
    index: list[int] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    cached: int = 0


@dataclass
class Embedding:
    """Image features, once `steps` is exhausted.

    Attributes:
        features: a row per image of the set, zero for those not readable; mapped from a file, not in memory.
        steps: the pass over the images, a generator.
        skipped: name of each image without features, and the reason; once the steps are exhausted.
    """

    features: Float[Tensor, "N D"]
    steps: Iterator[Step] = field(default_factory=lambda: iter(()))
    skipped: tuple[tuple[str, str], ...] = ()


def embed(
    images: ImageSet,
    encoder: FeatureSource,
    *,
    batch_size: int | None = None,
    cache: str | os.PathLike[str] | None = None,
) -> Embedding:
    """Encode images.

    Nothing happens until the returned `Embedding.steps` is iterated.

    Args:
        images: N images.
        encoder: the model.
        batch_size: images per call of the encoder; None chooses it by the device, see `best_batch_size`.
        cache: folder of features; known ones are read by model, preprocessing and image content, new ones added.

    Raises:
        InputError: the batch size is below 1; from the steps, the disk is full.
    """
    size = best_batch_size(encoder, batch_size)
    found = Embedding(torch.zeros(0, encoder.dimensions))
    found.steps = _steps(images, encoder, size, cache, found)
    return found


def best_batch_size(encoder: FeatureSource, asked: int | None) -> int:
    """The requested size; by default 64 on the CPU, where more is not faster, and 256 elsewhere.

    Raises:
        InputError: it is below 1.
    """
    if asked is not None and asked < 1:
        raise InputError(f"--batch-size {asked} is below 1; give a whole number from 1, such as 64.")
    return asked or (64 if encoder.device.type == "cpu" else 256)


def open_store(
    encoder: FeatureSource, cache: str | os.PathLike[str] | None, images: ImageSet
) -> FeatureCache | KnownFeatures:
    """The known features of a model, preprocessing and precision; images that are embeddings bring their own.

    Raises:
        InputError: the images are embeddings, and the model encodes images, or embeds them in other dimensions.
    """
    if isinstance(encoder, EmbeddedImages):
        known = encoder.embeddings if images.embeddings is None else images.embeddings
        if known.dimensions != encoder.dimensions:
            raise InputError(
                f"{images.root} has {known.dimensions} dimensions, and --vlm {encoder.name} {encoder.dimensions}; give "
                "embeddings of one model."
            )
        return KnownFeatures(known, None if cache is None else Path(cache) / "embeddings")
    if isinstance(encoder, EmbeddedVision):
        return KnownFeatures(encoder.embeddings, None if cache is None else Path(cache) / "embeddings")
    if images.embeddings is not None and isinstance(encoder, VisionEncoder):
        raise InputError(
            f"--encoder {encoder.name} reads pixels, and {images.root} has embeddings alone; write this encoder's by "
            f"`zerolabel embed IMAGES --vlm {encoder.name}`, and give --encoder embeddings:FOLDER."
        )
    if images.embeddings is not None:
        raise InputError(
            f"--vlm {encoder.name} reads pixels, and {images.root} has embeddings alone; if this model made them, give "
            f"--vlm embeddings:{images.embeddings.source}@{encoder.name}."
        )
    if not isinstance(encoder, PixelEncoder):
        raise TypeError(f"{encoder.name} encodes no image")
    parts = [encoder.revision, encoder.preprocessing]
    parts += [encoder.precision] if encoder.precision != "float32" else []
    parts += [f"as-{encoder.feature_precision}"] if encoder.feature_precision != "float32" else []
    folder = None if cache is None else Path(cache) / "-".join(parts)
    return FeatureCache(folder, encoder.dimensions, getattr(torch, encoder.feature_precision))


def ranges(count: int) -> list[tuple[int, int]]:
    """The images in ranges of a shard: first, and one past the last."""
    size = feature_cache.SHARD
    return [(start, min(start + size, count)) for start in range(0, count, size)]


def encode_range(
    images: ImageSet,
    place: tuple[int, int],
    encoder: FeatureSource,
    batch_size: int,
    store: FeatureCache | KnownFeatures,
    block: Block,
) -> Iterator[int]:
    """Put the features of a range of the images into the store, where they are not there, and note it in the block.

    Yields:
        Images of the range that are dealt with, after each batch; the store is then up to date.
    """
    if isinstance(store, KnownFeatures):
        for index, digest, reason in look_up(images, place, store):
            if digest is None or reason is not None:
                block.skipped.append((images.file_names[index], str(reason)))
            else:
                block.sha256.append(digest)
                block.index.append(index)
        yield place[1] - place[0]
    elif isinstance(encoder, PixelEncoder):
        yield from _encode_range(images, place, encoder, batch_size, store, block)


def _encode_range(
    images: ImageSet, place: tuple[int, int], encoder: PixelEncoder, batch_size: int, store: FeatureCache, block: Block
) -> Iterator[int]:
    """Encode a range of the images into the store, in threads that read and decode, and note it in the block.

    An image for which the model gives features that are not finite is skipped, with that reason.

    On the CPU, decoding and encoding take turns, each with as many threads as torch has; side by side they would make
    the threads of the encoder wait for each other. On other devices, and for images at a URL, reading continues
    meanwhile.

    Yields:
        Images of the range that are dealt with, after each batch; the store is then up to date.
    """
    turns = encoder.device.type == "cpu" and not isinstance(images.root, str)
    workers = torch.get_num_threads() if turns else os.cpu_count() or 1
    depth = batch_size if turns else 2 * batch_size + workers
    batch: dict[str, _Read] = {}
    pool, before = ThreadPoolExecutor(workers), len(block.skipped)
    try:
        jobs = (pool.submit(_read, images, i, encoder, store) for i in range(*place))
        for done, (index, job) in enumerate(zip(range(*place), _ahead(jobs, depth, turns), strict=True), 1):
            try:
                read = job.result()
            except Unreadable as error:
                block.skipped.append((images.file_names[index], str(error)))
            else:
                block.sha256.append(read.sha256)
                block.index.append(index)
                if read.pixels is None:
                    block.cached += 1
                elif read.sha256 not in store:
                    batch.setdefault(read.sha256, read)
            if done % batch_size == 0 or done == place[1] - place[0]:
                _leave_out(_encode(list(batch.values()), encoder, store), images, block)
                batch.clear()
                if done == place[1] - place[0]:
                    store.flush()
                    order = {name: i for i, name in enumerate(images.file_names[place[0] : place[1]])}
                    block.skipped[before:] = sorted(block.skipped[before:], key=lambda one: order[one[0]])
                yield done
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        store.flush()


def mapped(store: FeatureStore, sha256: Sequence[str], rows: Sequence[int], count: int) -> Float[Tensor, "N D"]:
    """Features by content, as a tensor that is mapped from a file; the file goes when the tensor does.

    Args:
        store: has them.
        sha256: hash of M contents.
        rows: the row that each goes to, ascending; all others are zero.
        count: N.
    """
    width = 4 * store.dimensions
    with writing(store.folder):
        store.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=store.folder, suffix=suffix(), prefix=".features-", delete=False) as file:
            for start in range(0, len(rows), feature_cache.SHARD):
                part = slice(start, start + feature_cache.SHARD)
                for row, feature in zip(rows[part], store.rows(sha256[part])[0], strict=True):
                    file.seek(row * width)
                    file.write(feature.numpy().tobytes())
            file.truncate(count * width)
    features = torch.from_file(file.name, shared=False, size=count * store.dimensions)
    with suppress(OSError):  # a system that keeps files which are mapped leaves it for the next sweep
        Path(file.name).unlink()
    return features.view(count, store.dimensions)


def _steps(
    images: ImageSet, encoder: FeatureSource, batch_size: int, cache: str | os.PathLike[str] | None, found: Embedding
) -> Iterator[Step]:
    store, whole, start = open_store(encoder, cache, images), Block(), time.perf_counter()
    for first, stop in ranges(len(images)):
        for done in encode_range(images, (first, stop), encoder, batch_size, store, whole):
            if first + done == len(images):
                found.features = mapped(store, whole.sha256, whole.index, len(images))
                found.skipped = tuple(whole.skipped)
            seconds = time.perf_counter() - start
            yield Step(first + done, len(images), len(whole.skipped), whole.cached, seconds)


@dataclass(frozen=True)
class _Read:
    """One image from a reading thread: its pixels, or none where the features are known."""

    sha256: str
    size: tuple[int, int]
    pixels: Tensor | None


def _read(images: ImageSet, index: int, encoder: PixelEncoder, store: FeatureCache) -> _Read:
    data = images.read_bytes(index)
    digest = sha256(data)
    if digest in store:
        return _Read(digest, (0, 0), None)
    image = decode(data)
    with enough_memory():
        return _Read(digest, image.size, encoder.pixels(image))


def _encode(batch: Sequence[_Read], encoder: PixelEncoder, store: FeatureCache) -> set[str]:
    """Put the features of a batch into the store; returns the contents whose features are not finite."""
    if not batch:
        return set()
    pixels = torch.stack([read.pixels for read in batch if read.pixels is not None])
    features = _halving(encoder, pixels)
    finite = features.isfinite().all(1).tolist()
    kept = [(one.sha256, one.size, feature) for one, feature, fine in zip(batch, features, finite, strict=True) if fine]
    store.add(kept)
    return {one.sha256 for one, fine in zip(batch, finite, strict=True) if not fine}


def _leave_out(broken: set[str], images: ImageSet, block: Block) -> None:
    """Move images of these contents from the readable ones of a block to the skipped."""
    if not broken:
        return
    for place in [place for place, digest in enumerate(block.sha256) if digest in broken]:
        block.skipped.append((images.file_names[block.index[place]], NOT_FINITE))
    kept = [(digest, i) for digest, i in zip(block.sha256, block.index, strict=True) if digest not in broken]
    block.sha256[:], block.index[:] = [digest for digest, _ in kept], [i for _, i in kept]


def _halving(encoder: PixelEncoder, pixels: Tensor) -> Float[Tensor, "B D"]:
    """Features of a batch, in halves where the device has no memory for the whole."""
    try:
        return encoder.encode_images(encoder.normalize(pixels))
    except torch.OutOfMemoryError:
        if len(pixels) == 1:
            raise
    return torch.cat([_halving(encoder, part) for part in pixels.chunk(2)])


def _ahead(jobs: Iterator["Future[_Read]"], depth: int, turns: bool) -> Iterator["Future[_Read]"]:
    """Keep ``depth`` jobs ahead of the one that is waited for; by turns, start so many when all others are taken."""
    window = list(islice(jobs, depth))
    while window:
        yield window.pop(0)
        if not turns:
            window.extend(islice(jobs, 1))
        elif not window:
            window.extend(islice(jobs, depth))
