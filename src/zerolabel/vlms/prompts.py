"""Prompt templates, and class names with their aliases."""

import os
from pathlib import Path

from zerolabel.data.classes import read_text
from zerolabel.errors import InputError, nearest

CHARACTERS: tuple[str, ...] = (
    "{}",
    "a handwritten {}",
    "a low resolution picture of a {}",
    "a scan of the character {}",
    "a bad photo of a {}.",
    "a drawing of the {}.",
    "{} by hand",
    "a {} in a video game.",
)
"""Prompts of `glyphs`; the last five are wordings that its training never used, which makes the annotators differ."""

# "generic": eight wordings that disagree where a class name is unclear, for images of any kind.
# "small": the 27 short templates of the prompt-vote annotation of Co-Reg, without a full stop.
# "openai": the 80 ImageNet templates of Radford et al., Learning Transferable Visual Models From Natural Language
# Supervision, 2021, with a full stop.
TEMPLATES: dict[str, tuple[str, ...]] = {
    "generic": (
        "{}",
        "a photo of a {}",
        "a picture of the {}",
        "an image that shows a {}",
        "a close-up photo of a {}",
        "a drawing of a {}",
        "a low resolution photo of a {}",
        "this is a {}",
    ),
    "small": (
        "a photo of a {}",
        "a rendering of a {}",
        "a cropped photo of the {}",
        "the photo of a {}",
        "a photo of a clean {}",
        "a photo of a dirty {}",
        "a dark photo of the {}",
        "a photo of my {}",
        "a photo of the cool {}",
        "a close-up photo of a {}",
        "a bright photo of the {}",
        "a cropped photo of a {}",
        "a photo of the {}",
        "a good photo of the {}",
        "a photo of one {}",
        "a close-up photo of the {}",
        "a rendition of the {}",
        "a photo of the clean {}",
        "a rendition of a {}",
        "a photo of a nice {}",
        "a good photo of a {}",
        "a photo of the nice {}",
        "a photo of the small {}",
        "a photo of the weird {}",
        "a photo of the large {}",
        "a photo of a cool {}",
        "a photo of a small {}",
    ),
    "openai": (
        "a bad photo of a {}.",
        "a photo of many {}.",
        "a sculpture of a {}.",
        "a photo of the hard to see {}.",
        "a low resolution photo of the {}.",
        "a rendering of a {}.",
        "graffiti of a {}.",
        "a bad photo of the {}.",
        "a cropped photo of the {}.",
        "a tattoo of a {}.",
        "the embroidered {}.",
        "a photo of a hard to see {}.",
        "a bright photo of a {}.",
        "a photo of a clean {}.",
        "a photo of a dirty {}.",
        "a dark photo of the {}.",
        "a drawing of a {}.",
        "a photo of my {}.",
        "the plastic {}.",
        "a photo of the cool {}.",
        "a close-up photo of a {}.",
        "a black and white photo of the {}.",
        "a painting of the {}.",
        "a painting of a {}.",
        "a pixelated photo of the {}.",
        "a sculpture of the {}.",
        "a bright photo of the {}.",
        "a cropped photo of a {}.",
        "a plastic {}.",
        "a photo of the dirty {}.",
        "a jpeg corrupted photo of a {}.",
        "a blurry photo of the {}.",
        "a photo of the {}.",
        "a good photo of the {}.",
        "a rendering of the {}.",
        "a {} in a video game.",
        "a photo of one {}.",
        "a doodle of a {}.",
        "a close-up photo of the {}.",
        "a photo of a {}.",
        "the origami {}.",
        "the {} in a video game.",
        "a sketch of a {}.",
        "a doodle of the {}.",
        "a origami {}.",
        "a low resolution photo of a {}.",
        "the toy {}.",
        "a rendition of the {}.",
        "a photo of the clean {}.",
        "a photo of a large {}.",
        "a rendition of a {}.",
        "a photo of a nice {}.",
        "a photo of a weird {}.",
        "a blurry photo of a {}.",
        "a cartoon {}.",
        "art of a {}.",
        "a sketch of the {}.",
        "a embroidered {}.",
        "a pixelated photo of a {}.",
        "itap of the {}.",
        "a jpeg corrupted photo of the {}.",
        "a good photo of a {}.",
        "a plushie {}.",
        "a photo of the nice {}.",
        "a photo of the small {}.",
        "a photo of the weird {}.",
        "the cartoon {}.",
        "art of the {}.",
        "a drawing of the {}.",
        "a photo of the large {}.",
        "a black and white photo of a {}.",
        "the plushie {}.",
        "a dark photo of a {}.",
        "itap of a {}.",
        "graffiti of the {}.",
        "a toy {}.",
        "itap of my {}.",
        "a photo of a cool {}.",
        "a photo of a small {}.",
        "a tattoo of the {}.",
    ),
}


def load_templates(source: str | os.PathLike[str]) -> tuple[str, ...]:
    """The templates of a named set, of a file with one per line, or the one written out.

    Args:
        source: a key of `TEMPLATES`, a text file, or a template such as ``"a sketch of a {}"``.

    Raises:
        InputError: there is no such set or file, it is empty, or a template lacks ``{}`` or is there twice.
    """
    text = os.fspath(source)
    if text in TEMPLATES:
        return TEMPLATES[text]
    if Path(text).is_file():
        templates = tuple(line.strip() for line in read_text(Path(text)).splitlines() if line.strip())
    elif "{}" in text:
        templates = (text,)
    else:
        raise InputError(f"--templates {text}: there is no such file or set of templates{nearest(text, TEMPLATES)}")
    if not templates:
        raise InputError(f"the template file {text} is empty; write one template per line, such as: a photo of a {{}}")
    for template in templates:
        if "{}" not in template:
            raise InputError(f"the template {template!r} in {text} lacks {{}}, where the class name goes; add it.")
        if templates.count(template) > 1:
            raise InputError(f"the template {template!r} is in {text} twice and would vote twice; remove one.")
    return templates
