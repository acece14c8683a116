"""Images inside tars (webdataset shards), read by their offset without unpacking anything."""

import os
import posixpath
import re
import tarfile
import warnings
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from zerolabel.data.images.decoding import Unreadable, extensions, one_line
from zerolabel.data.images.stores import Found
from zerolabel.data.images.urls import MOST_BYTES, content, is_url, opened, readable
from zerolabel.errors import InputError

COMPRESSED = (".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst")
_DRIVE = re.compile(r"[A-Za-z]:")


@dataclass(frozen=True, eq=False)
class Members:
    """Members of tars.

    Attributes:
        tars: paths or URLs.
        shard: which tar each image is in.
        spans: where its bytes begin, and how many there are.
        refused: the reason, for images that must not or cannot be read.
    """

    tars: tuple[str, ...]
    shard: Int[np.ndarray, " N"]
    spans: Int[np.ndarray, "N 2"]
    refused: Mapping[int, str]

    def read(self, row: int, name: str) -> bytes:
        """Read an image; see `zerolabel.data.images.stores.Store.read`."""
        if row in self.refused:
            raise Unreadable(self.refused[row])
        start, size = self.spans[row].tolist()
        data = content(self.tars[self.shard[row]], start, start + size)
        if len(data) < size:
            raise Unreadable("the tar ends in the middle of this file")
        return data


class _Member(NamedTuple):
    """One file of a tar; where it is refused, the reason."""

    name: str
    start: int
    size: int
    refused: str


def find(places: Sequence[str], base: str | None = None) -> Found:
    """The images in tars, in the order of the tars and of their members.

    Members whose names differ only after the first dot of the last part are one sample, as in webdataset. It gives
    one image: the first whose extension is a single one, such as ``.jpg`` beside ``.mask.png``; where all have
    several dots, each is an image of its own. A name is that of the tar, then that of the member.

    Args:
        places: paths or URLs of tars.
        base: the folder that the tars' names are relative to; by default the one that holds them all.

    Raises:
        InputError: a tar does not exist or is none, or there is no image in any.
    """
    if any(map(is_url, places)):
        return _indexed.__wrapped__(tuple(places), base, ())
    return _indexed(tuple(places), base, tuple(map(_stamp, places)))


@lru_cache(4)
def _indexed(places: tuple[str, ...], base: str | None, stamps: tuple[tuple[int, int], ...]) -> Found:
    """Like `find`, with a cached index for tars that did not change."""
    root = base or _shared_folder(places)
    names: list[str] = []
    shard, spans = array("q"), array("q")
    refused: dict[int, str] = {}
    left_out: list[str] = []
    for number, place in enumerate(places):
        tar = _relative(place, root)
        for member in _chosen(_members(place), left_out):
            if member.refused:
                refused[len(names)] = member.refused
            names.append(readable(f"{tar}/{member.name}" if member.name else tar))
            shard.append(number)
            spans.extend((member.start, member.size))
    if len(refused) == len(names) and not any(spans[1::2]):
        raise InputError(f"there is no image in {_some(places)}{_why(refused)}; give tars that hold images.")
    if left_out:
        warnings.warn(
            f"{len(left_out)} images are left out because their sample has another, first {left_out[0]}.", stacklevel=2
        )
    where = np.array(shard, np.int64), np.array(spans, np.int64).reshape(-1, 2)
    return Found(root, tuple(names), Members(places, *where, refused))


def _members(place: str) -> Iterator[_Member]:
    """The regular files of a tar and those to refuse; the last has no name where the tar is damaged."""
    end = 0
    try:
        with opened(place) as file, tarfile.open(fileobj=file, mode="r:") as tar:
            reader: Any = tar
            while (info := tar.next()) is not None:
                reader.members.clear()  # else it keeps every header
                if info.size < 0 or reader.offset <= end:
                    raise tarfile.ReadError("a header with an impossible size")
                end = reader.offset
                if not info.isdir():
                    yield _Member(info.name, info.offset_data, info.size, _refusal(info))
            file.seek(reader.offset)
            if file.read(tarfile.BLOCKSIZE).strip(b"\0"):
                raise tarfile.ReadError("a header that cannot be read")
    except FileNotFoundError:
        raise InputError(f"there is no tar {place}; check the path.") from None
    except (tarfile.TarError, OSError, EOFError, ValueError, OverflowError) as error:
        yield _Member(
            "", 0, 0, f"the tar is damaged after {end} bytes ({one_line(error)}); nothing after that was read"
        )


def _refusal(info: tarfile.TarInfo) -> str:
    """Why a member must not be read; empty where it may."""
    parts = info.name.replace("\\", "/").split("/")
    if parts[0] == "" or ".." in parts or _DRIVE.match(info.name):
        return "its path leads out of the tar, refused"
    if info.issym() or info.islnk():
        return "a link inside a tar, refused"
    if not info.isreg() or info.sparse is not None:
        return "no regular file, refused"
    return f"the file is larger than {MOST_BYTES >> 20} MiB" if info.size > MOST_BYTES else ""


def _chosen(members: Iterable[_Member], left_out: list[str]) -> Iterator[_Member]:
    """The image of each sample; the others of that sample are added to ``left_out``."""
    for _, group in groupby(members, key=lambda member: _sample(member.name)):
        last = {member.name: member for member in group if not member.name or _is_image(member.name)}
        single = [name for name in last if name.rpartition("/")[2].count(".") <= 1]
        chosen = single[:1] or list(last)
        left_out.extend(name for name in last if name not in chosen)
        yield from (last[name] for name in chosen)


def _sample(name: str) -> str:
    folder, _, base = name.rpartition("/")
    return f"{folder}/{base.partition('.')[0]}"


def _is_image(name: str) -> bool:
    hidden = any(part[:1] == "." and part.strip(".") for part in name.split("/"))
    return os.path.splitext(name)[1].lower() in extensions() and not hidden


def _stamp(place: str) -> tuple[int, int]:
    """Time of the last change and size; zeros for a file that is not there."""
    try:
        found = os.stat(place)
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size


def _relative(place: str, root: str) -> str:
    return place[len(root) :].lstrip("/") if is_url(place) else os.path.relpath(place, root).replace(os.sep, "/")


def _shared_folder(places: Sequence[str]) -> str:
    """The folder that holds them all."""
    if not is_url(places[0]):
        return os.path.commonpath([os.path.dirname(place) for place in places]) or "."
    scheme = places[0].partition("://")[0]
    return f"{scheme}://{posixpath.commonpath([posixpath.dirname(place.partition('://')[2]) for place in places])}"


def _some(places: Sequence[str]) -> str:
    return places[0] if len(places) == 1 else f"the {len(places)} tars from {places[0]} on"


def _why(refused: Mapping[int, str]) -> str:
    return f" ({next(iter(refused.values()))})" if refused else ""
