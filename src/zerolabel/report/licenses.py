"""Licenses of well-known annotators' weights, as their publishers state them."""

UNKNOWN = "not known to zerolabel: see the model's own page"

_BY_START = (("glyphs", "Apache-2.0 (shipped with zerolabel)"),)
_BY_PRETRAINED = (
    ("openai", "MIT"),
    ("laion", "MIT"),
    ("datacomp", "MIT"),
    ("commonpool", "MIT"),
    ("webli", "Apache-2.0"),
    ("metaclip", "CC-BY-NC-4.0: not for commercial use"),
    ("dfn", "Apple's own: read it before any commercial use"),
)


def license(model: str) -> str:
    """The license of a model's weights.

    Args:
        model: as `--vlm` names it, e.g. ``open_clip:ViT-B-32/laion2b_s34b_b79k``.

    Returns:
        the license's name, or `UNKNOWN`; a local folder or file is never guessed.
    """
    for start, name in _BY_START:
        if model == start or model.startswith(start + ":"):
            return name
    scheme, _, rest = model.partition(":")
    architecture, _, pretrained = rest.rpartition("/")
    if scheme != "open_clip" or not architecture or "/" in architecture:
        return UNKNOWN
    if architecture.lower().startswith("mobileclip"):
        return "Apple's own: read it before any commercial use"
    return next((name for start, name in _BY_PRETRAINED if pretrained.lower().startswith(start)), UNKNOWN)
