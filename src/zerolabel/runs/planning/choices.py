"""Options that take one of a few words."""

from collections.abc import Sequence

from zerolabel.errors import InputError, nearest


def one_of(option: str, value: str | None, known: Sequence[str | None]) -> str | None:
    """The value, if it is known.

    Raises:
        InputError: it is not.
    """
    if value in known:
        return value
    words = [word for word in known if word is not None]
    raise InputError(f"{option} {value}: invalid value{nearest(str(value), words)}")
