"""From what a user names as a source to the images in it."""

import re
from contextlib import suppress
from itertools import product
from pathlib import Path

from zerolabel.data.images import embedded, folders, hugging_face, lists, parquets, tars
from zerolabel.data.images.decoding import Unreadable, extensions, is_image_content
from zerolabel.data.images.stores import Found
from zerolabel.data.images.urls import content, is_url
from zerolabel.errors import InputError

_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")


def find(source: str) -> Found:
    """Find the images of a source, in an order that is the same on every platform and file system.

    Args:
        source: one of

            - a folder, searched at every depth for the extensions that Pillow reads, hidden files left out, in the
              order of the names' code points; where it holds no image but tars or parquet files of images, those;
            - a .txt, .csv, .tsv or .parquet list, whose column ``file_name`` (or first column) holds paths or URLs,
              relative to the list's own folder, in the order of the list;
            - a tar, or several by a pattern such as ``shards-{000..009}.tar``, in the order of their members;
            - a .parquet file with a column of images, in the order of its rows;
            - a file that is an image, alone;
            - ``embeddings:`` and embeddings, see `zerolabel.data.embeddings.open_embeddings`; without it, a folder
              that `zerolabel embed` or clip-retrieval wrote;
            - ``hf:`` and the folder or name of a Hugging Face data set, with ``:split`` after it where it has several.

            Each may be a URL that fsspec knows, such as ``s3://bucket/photos``.

    Raises:
        InputError: there is no such source, or it names no image.
    """
    if source.startswith("hf:"):
        return hugging_face.find(source[3:])
    if source.startswith(embedded.PREFIX):
        return embedded.find(source[len(embedded.PREFIX) :])
    if not is_url(source) and Path(source).is_dir():
        return embedded.find(source) if embedded.is_embeddings(Path(source)) else _folder(source)
    places = [source] if not is_url(source) and Path(source).exists() else expand(source)
    suffix = _suffix(places[0])
    if suffix == ".tar":
        return tars.find(places)
    if suffix in tars.COMPRESSED:
        raise InputError(
            f"{source} is compressed, so that its members cannot be read one by one; decompress it to .tar."
        )
    if suffix == ".parquet" and parquets.image_column(places[0]) is not None:
        return parquets.find(places)
    if suffix in lists.SUFFIXES:
        return lists.find(source)
    if suffix in extensions():
        return lists.single(source)
    if is_url(source):
        return _folder(source)
    if not Path(source).is_file():
        raise InputError(f"there is no image, folder or list of images {source}; check the path.")
    with suppress(Unreadable):
        if is_image_content(content(source)):
            return lists.single(source)
    kinds = ", ".join((*lists.SUFFIXES, ".tar"))
    raise InputError(f"{source} is neither an image, a folder nor a list of images ({kinds}); give one of these.")


def expand(pattern: str) -> list[str]:
    """The places that braces stand for: ``{000..011}`` counts, with the digits of its first number; ``{a,b}`` lists.

    Raises:
        InputError: a range counts down.
    """
    parts = _BRACES.split(pattern)
    choices = [[part] if i % 2 == 0 else _choices(part, pattern) for i, part in enumerate(parts)]
    return ["".join(chosen) for chosen in product(*choices)]


def _choices(inside: str, pattern: str) -> list[str]:
    span = _RANGE.fullmatch(inside)
    if span is None:
        return inside.split(",") if "," in inside else [f"{{{inside}}}"]
    first, last = int(span[1]), int(span[2])
    if first > last:
        raise InputError(f"{pattern} counts down from {first} to {last}; write the smaller number first.")
    return [f"{number:0{len(span[1])}}" for number in range(first, last + 1)]


def _folder(source: str) -> Found:
    """Images; else tars; else parquet files of images."""
    found = folders.walk(source)
    if found.images:
        return folders.images(source, found)
    if found.tars:
        return tars.find([folders.inside(source, name) for name in found.tars], source)
    files = [folders.inside(source, name) for name in found.parquets]
    with_images = [place for place in files if parquets.image_column(place) is not None]
    if with_images:
        return parquets.find(with_images, source)
    raise InputError(f"there is no image in the folder {source}; give a folder that holds some, at any depth.")


def _suffix(place: str) -> str:
    """The lower-case extension of a path, or of a URL without its query; two of them where the first is .tar."""
    suffixes = [suffix.lower() for suffix in Path(place.partition("?")[0] if is_url(place) else place).suffixes]
    return "".join(suffixes[-2:]) if suffixes[-2:-1] == [".tar"] else (suffixes or [""])[-1]
