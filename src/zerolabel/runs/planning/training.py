"""Which settings and views training has."""

from zerolabel.data.views import STRONG
from zerolabel.errors import InputError
from zerolabel.runs.planning.choices import one_of


def strong_view(asked: str, cutout: int | None) -> str:
    """The strong view, "cutout" with a preset's side of the square.

    Raises:
        InputError: there is no such view, or the side is no number of pixels.
    """
    kind, _, side = asked.partition(":")
    one_of("--strong", kind if kind == "cutout" else asked, STRONG)
    if asked != kind and not (side.isdecimal() and int(side) > 0):
        raise InputError(f"--strong {asked}: {side or 'nothing'} is no number of pixels; write for example cutout:16.")
    return f"cutout:{cutout}" if asked == "cutout" and cutout is not None else asked
