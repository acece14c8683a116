"""Restricts remote lists: they name files relative to themselves by their own protocol, never this network.

Whoever writes a list that somebody else reads would otherwise choose what the reader's machine opens: its files, or
services that answer it alone, such as the metadata of a cloud at 169.254.169.254.
"""

import ipaddress
import os
import socket
from functools import cache, lru_cache
from typing import Any
from urllib.parse import urljoin, urlsplit

from zerolabel.data.images.decoding import Unreadable

ALLOW = "ZEROLABEL_ALLOW_LOCAL_ADDRESSES"
"""Set to 1, this environment variable lets lists from elsewhere name addresses of this machine and its link."""

_REFUSED = f"a list from elsewhere may not name addresses of this machine or its link, unless {ALLOW}=1"
_BUCKETS = ("s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "oci", "hf", "memory")
"""Protocols whose addresses begin with the name of a bucket, not of a host."""
_METADATA = ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254")
"""Where clouds keep the metadata of a machine, beside 169.254.169.254: Alibaba, Azure, Oracle, AWS over IPv6."""
_NAT64, _COMPATIBLE = ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("::/96")
"""Networks of IPv6 whose addresses end in one of IPv4."""


def allowed(name: str, base: str) -> str:
    """The name itself, where a list at that place may name it.

    Args:
        name: of an image in the list.
        base: the URL of the folder that the list is in.

    Raises:
        Unreadable: it is a file of this machine, another protocol, several chained ones, or, unless `ALLOW` says so, a
            host that is this machine or on its link (loopback, link-local or unspecified addresses).
    """
    own = _protocol(base.rpartition("::")[2])
    lower = name.strip().lower()
    if lower.startswith(("/", "\\", "~")) or (
        lower.partition(":")[0] in ("file", "local") and own not in ("file", "local")
    ):
        raise Unreadable("a list from elsewhere may not name files of this machine")
    if "::" in name:
        raise Unreadable("a list from elsewhere may not chain protocols")
    if "://" not in name:
        return name
    if _protocol(name) != own:
        raise Unreadable(f"a list from elsewhere may name addresses of its own protocol alone, {own}://")
    if own not in (*_BUCKETS, "file", "local"):
        check_host(name)
    return name


def check_host(url: str) -> None:
    """Check that a URL does not lead to this machine or its local network.

    Raises:
        Unreadable: it does, and `ALLOW` does not say that it may.
    """
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        raise Unreadable("the address is no URL") from None
    if not _is_allowed() and _is_local(host.rstrip(".")):
        raise Unreadable(_REFUSED)


def client_options(protocol: str) -> dict[str, Any]:
    """Options for fsspec's file system that check the hosts of connections and redirects.

    A name is checked when the connection looks it up, too: it could have another address by then than before. Those by
    which a machine calls itself are no such names; lists that name them are refused by `allowed`.
    """
    return {"get_client": _guarded_client} if protocol in ("http", "https") else {}


async def _guarded_client(**options: Any) -> object:
    """A session of aiohttp that connects to no address of this machine or its link, whatever name leads there."""
    import aiohttp

    class Guarded(aiohttp.ThreadedResolver):
        async def resolve(self, host: str, *arguments: Any, **named: Any) -> list[Any]:
            found = await super().resolve(host, *arguments, **named)
            own = host.rstrip(".").lower() in ("localhost", socket.gethostname().lower())
            if not own and not _is_allowed() and any(_leads_here(str(entry["host"])) for entry in found):
                raise Unreadable(_REFUSED)
            return found

    connector = aiohttp.TCPConnector(resolver=Guarded())
    return aiohttp.ClientSession(connector=connector, trace_configs=[_watched()], **options)


@cache
def _watched() -> Any:
    """Hooks of aiohttp that refuse a redirect to this machine."""
    import aiohttp

    async def look(session: object, context: object, request: aiohttp.TraceRequestRedirectParams) -> None:
        target = request.response.headers.get("Location") or request.response.headers.get("URI") or ""
        check_host(urljoin(str(request.url), target))

    hooks = aiohttp.TraceConfig()
    hooks.on_request_redirect.append(look)
    return hooks


def _is_allowed() -> bool:
    return os.environ.get(ALLOW, "") not in ("", "0")


@lru_cache(4096)
def _is_local(host: str) -> bool:
    """True if a host resolves to a loopback, link-local or unspecified address."""
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError):
        return False
    return any(map(_leads_here, found))


def _leads_here(address: str) -> bool:
    return _stays_here(ipaddress.ip_address(address.partition("%")[0]))


def _stays_here(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    inner = getattr(address, "ipv4_mapped", None) or getattr(address, "sixtofour", None) or address
    if isinstance(address, ipaddress.IPv6Address) and (address in _NAT64 or address in _COMPATIBLE):
        inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return any(
        one.is_loopback or one.is_link_local or one.is_unspecified or str(one) in _METADATA for one in (address, inner)
    )


def _protocol(url: str) -> str:
    return url.partition("://")[0].lower()
