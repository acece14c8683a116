"""Bytes from a path of this machine or from any URL that fsspec knows."""

import os
import re
import stat
from pathlib import Path
from typing import Any

import fsspec

from zerolabel.data.images.decoding import NO_MEMORY, Unreadable, one_line
from zerolabel.data.images.remote import client_options
from zerolabel.errors import InputError

MOST_BYTES = 1 << 29
"""A larger file is refused unread: 512 MiB."""

_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+(://|::)")
_ESCAPED = re.compile(r"\\u(d[89a-f][0-9a-f]{2})")


def is_url(text: str) -> bool:
    """True for an address such as ``s3://bucket/a.jpg`` or ``https://...``, False for a local path."""
    return _URL.match(text) is not None


def readable(name: str) -> str:
    r"""A file name as text that any file can hold: bytes that are no UTF-8 become ``\udcXX``."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def on_disk(path: str) -> str:
    """The path that `readable` was made of."""
    if "\\u" not in path or os.path.lexists(path):
        return path
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), path)


def content(place: str, start: int | None = None, end: int | None = None, *, guarded: bool = False) -> bytes:
    """The bytes of a file, or those from ``start`` to before ``end``.

    Args:
        place: a path or a URL.
        start: where to begin.
        end: where to stop; needed where ``start`` is given.
        guarded: whether the name comes from elsewhere, so that no server may redirect to this machine.

    Raises:
        Unreadable: it is missing, no regular file, too large, or cannot be fetched.
    """
    try:
        if is_url(place):
            system, path = filesystem(place, guarded=guarded)
            fetched: bytes = system.cat_file(path, start=start, end=end)
            whole = start is not None and end is not None and len(fetched) > end - start  # no part, as it was asked
            return fetched[start:end] if whole else fetched
        with open(_regular(on_disk(place), whole=start is None), "rb") as file:
            if start is None or end is None:
                return file.read()
            file.seek(start)
            return file.read(end - start)
    except (Unreadable, InputError) as error:
        raise Unreadable(str(error)) from None
    except FileNotFoundError:
        raise Unreadable("no such file or directory") from None
    except OSError as error:
        raise Unreadable((error.strerror or one_line(error)).lower()) from None
    except MemoryError:
        raise Unreadable(NO_MEMORY) from None
    except Exception as error:  # drivers raise their own kinds
        raise Unreadable(one_line(error)) from None


def filesystem(url: str, *, guarded: bool = False) -> tuple[Any, str]:
    """The fsspec file system of a URL, and the path in it; ``guarded`` as in `content`.

    Raises:
        InputError: the protocol is unknown, its driver is not installed, or it lacks what the driver needs.
    """
    try:
        protocol = url.partition("://")[0].lower()
        system, path = fsspec.core.url_to_fs(url, **(client_options(protocol) if guarded else {}))
    except ImportError as error:
        raise InputError(f"{url} cannot be read without its driver: {one_line(error)}.") from None
    except ValueError as error:
        raise InputError(f"{url} cannot be read ({one_line(error)}); give a protocol that fsspec knows.") from None
    except Exception as error:  # drivers raise their own kinds
        raise InputError(f"{url} cannot be read ({one_line(error)}); check the address.") from None
    return system, path


def opened(place: str) -> Any:
    """A binary file object that can seek.

    Raises:
        InputError: the protocol is unknown, or its driver is not installed.
        OSError: there is no such file, or it cannot be read.
    """
    if is_url(place):
        system, path = filesystem(place)
        return system.open(path, "rb")
    return open(place, "rb")


def joined(base: str, name: str) -> str:
    """A name below a folder or a URL; a name that is absolute, or a URL of its own, stays as it is.

    In a folder of this machine, a file whose name looks like a URL, such as ``ab::c.png``, is that file.
    """
    if is_url(base):
        return name if is_url(name) else f"{base.rstrip('/')}/{name.lstrip('/')}"
    path = Path(base) / name
    if not is_url(name):
        return str(path)
    return os.path.join(os.curdir, path) if os.path.lexists(on_disk(str(path))) else name


def _regular(path: str, *, whole: bool) -> str:
    """The path itself: a pipe would wait for ever and a device never end."""
    found = os.stat(path)
    if stat.S_ISDIR(found.st_mode):
        raise Unreadable("it is a folder, not a file")
    if not stat.S_ISREG(found.st_mode):
        raise Unreadable("it is a pipe, socket or device, not a regular file")
    if whole and found.st_size > MOST_BYTES:
        raise Unreadable(f"the file is larger than {MOST_BYTES >> 20} MiB")
    return path
