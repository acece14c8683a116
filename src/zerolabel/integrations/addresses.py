"""From the addresses under which a labeling tool finds images to the names of these images."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from urllib.parse import parse_qs, unquote, urlsplit

from zerolabel.data.images.urls import is_url

_UPLOAD = re.compile(r"[0-9a-f]{8}-(?=.)")
_DROPPED = re.compile(r"[^-\w.]")


def located(addresses: Sequence[str], file_names: Sequence[str]) -> list[str]:
    """The file name that each address means; an address that means none stays as it is.

    An address is a name; a path or URL that ends with one, escaped or not, with slashes of either kind; Label Studio's
    ``/data/local-files/?d=PATH``; or an upload of Label Studio, ``/data/upload/7/1a2b3c4d-NAME``, where the eight
    digits are its own and spaces of the name are underscores. Where the end of an address is the base name of several
    images, what stands before it must be what stands before most names of the file.

    Args:
        addresses: as the tool wrote them.
        file_names: of all images.
    """
    known = {_composed(name): name for name in reversed(file_names)}
    counts = Counter(_base(name) for name in known)
    uploads: dict[str, list[str]] = {}
    for name in file_names:
        uploads.setdefault(_uploaded(_base(_composed(name))), []).append(name)
    found = [_find(address, known, uploads) for address in addresses]
    before = Counter(folder for _, folder in found if folder is not None)
    usual = before.most_common(1)[0][0] if before else None
    done = []
    for address, (name, folder) in zip(addresses, found, strict=True):
        unsure = bool(folder) and "/" not in name and counts[_base(_composed(name))] > 1 and folder != usual
        done.append(name if name and not unsure else address)
    return done


def _find(address: str, known: dict[str, str], uploads: dict[str, list[str]]) -> tuple[str, str | None]:
    """The name, and the folders before it in the address; no name where there is none."""
    if address in known:
        return known[address], None
    for path in _paths(address):
        parts = [part for part in path.replace("\\", "/").split("/") if part not in ("", ".")]
        for start in range(len(parts)):
            if (name := known.get("/".join(parts[start:]))) is not None:
                return name, "/".join(parts[:start])
        upload = _UPLOAD.match(parts[-1]) if parts else None
        if upload is not None:
            names = uploads.get(_uploaded(parts[-1][upload.end() :]), [])
            if len(names) == 1:
                return names[0], None
    return "", None


def _paths(address: str) -> Iterator[str]:
    """Parts of an address that may be a path: itself, unescaped, and the query of a local storage."""
    yield _composed(address)
    parts = urlsplit(address) if is_url(address) or address.startswith("/data/") else None
    if parts is not None:
        for path in parse_qs(parts.query).get("d", []):
            yield _composed(path)
        yield _composed(unquote(parts.path))
    else:
        yield _composed(unquote(address))


def _uploaded(base: str) -> str:
    """A base name as Label Studio keeps it of an upload."""
    return _DROPPED.sub("", base.strip().replace(" ", "_"))


def _base(name: str) -> str:
    return name.rpartition("/")[2]


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)
