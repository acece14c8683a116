"""The images of a folder, on this machine or at a URL."""

import os
import unicodedata
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from zerolabel.data.images.decoding import extensions, one_line
from zerolabel.data.images.stores import Files, Found
from zerolabel.data.images.urls import filesystem, is_url, joined, readable
from zerolabel.errors import InputError


class Inside(NamedTuple):
    """Names of what a folder holds, relative to it, sorted."""

    images: tuple[str, ...]
    tars: tuple[str, ...]
    parquets: tuple[str, ...]


def walk(folder: str) -> Inside:
    """Search a folder at every depth; what begins with a dot is left out.

    Links to folders are followed where they lead out of the folder, each target once, so that loops end. A folder
    that may not be read raises a warning.

    Raises:
        InputError: the folder itself cannot be read.
    """
    names = sorted(_remote(folder) if is_url(folder) else map(readable, _local(folder)), key=_order)
    kinds: dict[str, list[str]] = {"image": [], ".tar": [], ".parquet": []}
    known = extensions()
    for name in names:
        suffix = os.path.splitext(name)[1].lower()
        kind = "image" if suffix in known else suffix
        if kind in kinds:
            kinds[kind].append(name)
    return Inside(*map(tuple, kinds.values()))


def images(folder: str, inside: Inside) -> Found:
    """Those images; tars beside them raise a warning."""
    if inside.tars:
        warnings.warn(
            f"{folder} holds images and {len(inside.tars)} tars, which are left out; give the tars by themselves.",
            stacklevel=2,
        )
    return Found(folder, inside.images, Files(folder))


def inside(folder: str, name: str) -> str:
    """Path of an entry of a folder."""
    return joined(folder, name)


def _local(root: str) -> Iterator[str]:
    """Names of all files, with forward slashes."""
    seen, links = [os.path.realpath(root)], [root]
    while links:
        for folder, folders, files in os.walk(links.pop(0), onerror=_tell):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for link in filter(os.path.islink, (os.path.join(folder, name) for name in folders)):
                target = os.path.realpath(link)
                if not any(Path(target).is_relative_to(known) for known in seen):
                    seen.append(target)
                    links.append(link)
            place = Path(folder).relative_to(root)
            yield from ((place / name).as_posix() for name in files if not name.startswith("."))


def _remote(url: str) -> Iterator[str]:
    system, top = filesystem(url)
    try:
        found = system.find(top)
    except Exception as error:  # drivers raise their own kinds
        raise InputError(f"the folder {url} cannot be read ({one_line(error)}); check the address.") from None
    for path in found:
        name = path[len(top.rstrip("/")) :].lstrip("/")
        if not any(part.startswith(".") for part in name.split("/")):
            yield name


def _order(name: str) -> tuple[str, str]:
    """By code points, whether the file system keeps accents apart from their letters or not."""
    return unicodedata.normalize("NFC", name), name


def _tell(error: OSError) -> None:
    reason = (error.strerror or str(error)).lower()
    warnings.warn(f"the folder {readable(str(error.filename))} is left out: {reason}.", stacklevel=2)
