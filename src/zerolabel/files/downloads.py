"""Downloads from a hub: a quick question before one, and the check of a hash that the client leaves open."""

import hashlib
import re
import urllib.error
import urllib.request
from pathlib import Path


def reachable(address: str, timeout: float = 10.0) -> bool:
    """True if a server answers at once; the hub's own client would try for most of a minute before it gives up."""
    try:
        urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=timeout).close()
    except urllib.error.HTTPError:
        return True
    except (OSError, ValueError):
        return False
    return True


def check_hash(path: Path) -> None:
    """Compare a file in the hub's cache with its hash, and remove it where it has another content.

    The client compares sizes alone. A large file lies under the SHA-256 that the hub states; other files, and those of
    a cache without symbolic links, are under another name and pass unchecked.

    Raises:
        OSError: the content is not the one that the hub describes.
    """
    blob = path.resolve()
    if not re.fullmatch("[0-9a-f]{64}", blob.name):
        return
    with blob.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != blob.name:
        blob.unlink()
        path.unlink(missing_ok=True)
        raise OSError(f"{path.name} arrived damaged: its SHA-256 is not the one that the hub states; try again")


__all__ = ["check_hash", "reachable"]
