"""Images small enough to lie inside the report."""

import base64
import io

from PIL import Image

from zerolabel.data.images import Unreadable, decode
from zerolabel.report.markup import Html, html

SIDE = 128
PIXELATED_BELOW = 64


def thumbnail(content: bytes | None, alt: str) -> Html:
    """An image as a data URI, at most `SIDE` pixels wide and high; tiny ones keep their pixels.

    Args:
        content: of the image's file; where there is none or it cannot be read, a hatched square stands for it.
        alt: what to say to who does not see it.
    """
    try:
        image = decode(content or b"")
    except Unreadable:
        return html('<span class="thumb missing" role="img" aria-label="{alt} (file not found)"></span>', alt=alt)
    tiny = max(image.size) < PIXELATED_BELOW
    image.thumbnail((SIDE, SIDE))
    kind = "thumb pixelated" if tiny else "thumb"
    return html(
        '<img class="{kind}" src="{uri}" alt="{alt}" loading="lazy">', kind=kind, uri=_uri(image, tiny), alt=alt
    )


def _uri(image: Image.Image, tiny: bool) -> str:
    """PNG where every pixel counts, JPEG otherwise."""
    buffer = io.BytesIO()
    if tiny:
        image.save(buffer, "PNG", optimize=True)
    else:
        image.save(buffer, "JPEG", quality=80)
    return f"data:image/{'png' if tiny else 'jpeg'};base64,{base64.b64encode(buffer.getvalue()).decode()}"
