"""Passwords and tokens in URLs: what is written down or shown has ``***`` in their place."""

import re
from collections.abc import Iterable
from typing import TypeVar, cast

HIDDEN = "***"
Data = TypeVar("Data")
_SECRET_ENDS = (
    *("token", "key", "secret", "sig", "signature", "password", "passwd", "passphrase", "pwd", "auth"),
    *("authorization", "credential", "credentials", "accesskeyid", "session", "sessionid", "jwt", "bearer"),
)
# Patterns are compiled at their first use, since every command imports this module.
_USER = r"(?:(?<=:/)|(?<=://))(?!/)[^/?#\s\"'<>\\]*@"  # a URL that became a path has one slash
_FIELD = r"(?<=[?&#;])([\w.\-\[\]%]+)=([^&#;\s\"'<>|]+)"
_ADDRESS = r"[a-zA-Z][a-zA-Z0-9+.\-]+:/\S+"


def redacted(text: str) -> str:
    """A text without the user part and the secret fields of the URLs in it; other text stays as it is.

    A field is secret by the end of its name, such as ``api_key``, ``access_token`` or ``X-Amz-Signature``.
    """
    return re.sub(_ADDRESS, lambda found: _clean(found[0]), text) if ":/" in text else text


def secrets(url: str) -> tuple[str, ...]:
    """The passwords and tokens in a URL, longest first, to look for where a server may repeat them."""
    users = [part for found in re.findall(_USER, url) for part in (found[:-1], *found[:-1].split(":", 1)[1:])]
    fields = [value for name, value in re.findall(_FIELD, url) if _is_secret(name)]
    return tuple(sorted({one for one in (*users, *fields) if len(one) > 2}, key=lambda one: (-len(one), one)))


def without(text: str, hidden: Iterable[str]) -> str:
    """A text in which none of these secrets is left, nor any in its URLs."""
    for secret in hidden:
        if secret:
            text = text.replace(secret, HIDDEN)
    return redacted(text)


def unique_redacted(names: Iterable[str], base: str = "") -> tuple[str, ...]:
    """Different names for different URLs: those that differ by their secrets alone are numbered.

    Args:
        names: URLs, or names relative to ``base``.
        base: where it is a URL, all names count as parts of one.
    """
    taken: dict[str, str] = {}
    shown: list[str] = []
    for name in names:
        first = plain = _clean(name) if "://" in base else redacted(name)
        number = 2
        while taken.setdefault(plain, name) != name:
            plain, number = f"{first}#{number}", number + 1
        shown.append(plain)
    return tuple(shown)


def redacted_data(data: Data) -> Data:
    """Plain data for JSON whose texts are redacted; keys stay."""
    found: object = data
    if isinstance(data, str):
        found = redacted(data)
    elif isinstance(data, dict):
        found = {key: redacted_data(value) for key, value in data.items()}
    elif isinstance(data, list | tuple):
        found = type(data)(redacted_data(value) for value in data)
    return cast(Data, found)


def _clean(url: str) -> str:
    url = re.sub(_USER, f"{HIDDEN}@", url)
    return re.sub(_FIELD, lambda found: f"{found[1]}={HIDDEN}" if _is_secret(found[1]) else found[0], url)


def _is_secret(name: str) -> bool:
    return name.lower().replace("_", "").replace("-", "").endswith(_SECRET_ENDS)


__all__ = ["HIDDEN", "redacted", "redacted_data", "secrets", "unique_redacted", "without"]
