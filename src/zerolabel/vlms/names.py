"""The parser of model names, the values of ``--vlm``."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from zerolabel.errors import InputError, nearest

Kind = Literal["glyphs", "open_clip", "hf-hub", "adapted", "embeddings", "chat"]
FORMS: dict[Kind, str] = {
    "glyphs": "glyphs",
    "open_clip": "open_clip:ARCH/PRETRAINED",
    "hf-hub": "hf-hub:ORG/NAME",
    "adapted": "adapted:FOLDER",
    "embeddings": "embeddings:FOLDER",
    "chat": "chat:MODEL",
}
"""Syntax of each kind of model name."""
TIMM, EMBEDDINGS = "timm:", "embeddings:"
"""Prefixes of encoders without texts."""
_HUB_TWINS = {
    "openai/clip-vit-base-patch32": "open_clip:ViT-B-32/openai",
    "openai/clip-vit-base-patch16": "open_clip:ViT-B-16/openai",
    "openai/clip-vit-large-patch14": "open_clip:ViT-L-14/openai",
    "openai/clip-vit-large-patch14-336": "open_clip:ViT-L-14-336/openai",
    "clip": "open_clip:ViT-B-32-256/datacomp_s34b_b86k",
    "siglip": "open_clip:ViT-B-16-SigLIP/webli",
    "google/siglip-base-patch16-224": "open_clip:ViT-B-16-SigLIP/webli",
}
"""Weights that users name as transformers does, or by their family, and what open_clip calls them."""
_PREFIX = re.compile(r"(open_?clip|openai|clip|hf)[:/ ]+", re.IGNORECASE)


@dataclass(frozen=True)
class ModelName:
    """A parsed model name.

    Attributes:
        kind: what loads it.
        rest: architecture and weights, repository, folder or chat model; empty for the built-in model.
    """

    kind: Kind
    rest: str

    @classmethod
    def parse(cls, text: str) -> "ModelName":
        """Read a model name.

        >>> ModelName.parse("open_clip:ViT-B-32/laion2b_s34b_b79k")
        ModelName(kind='open_clip', rest='ViT-B-32/laion2b_s34b_b79k')

        Raises:
            InputError: it is no form of `FORMS`; the message names the closest one.
        """
        found = _parse(text)
        if found is None:
            raise InputError(f"--vlm {text}: unknown model{_suggestion(text)}")
        return found

    @property
    def is_encoder(self) -> bool:
        """True if the model has image features that a head can read."""
        return self.kind != "chat"

    @property
    def path(self) -> Path:
        """The folder or file of a local model."""
        return Path(self.rest).expanduser()


def is_model(text: str) -> bool:
    """True if the name is that of a vision-language model; false for a person, another tool or a simulation."""
    return _parse(text) is not None


def is_chat(text: str) -> bool:
    """True if the name is that of a chat model."""
    found = _parse(text)
    return found is not None and found.kind == "chat"


def is_encoder(text: str) -> bool:
    """True if the name is that of a model with image features."""
    found = _parse(text)
    return found is not None and found.is_encoder


def reads_characters(name: str | None) -> bool:
    """True for the built-in model of characters, adapted or not, or embeddings that it made.

    Raises:
        InputError: the folder of an adapted model is missing or damaged.
    """
    found = None if name is None else _parse(name)
    if found is not None and found.kind in ("adapted", "embeddings"):
        from zerolabel.vlms.adapted import base_of

        return base_of(str(name)) == "glyphs"
    return found is not None and found.kind == "glyphs"


def _parse(text: str) -> ModelName | None:
    kind, colon, rest = text.partition(":")
    if kind not in FORMS or (bool(colon) if kind == "glyphs" else not rest):
        return None
    return ModelName(kind, rest)


def _suggestion(text: str) -> str:
    """The end of a sentence: the name that was probably meant, or the forms there are."""
    if text.lower() in _HUB_TWINS:
        return f"; did you mean {_HUB_TWINS[text.lower()]}?"
    if text and Path(text).expanduser().exists():
        return f"; for a model on this machine write open_clip:{text}"
    bare = _PREFIX.sub("", text)
    like = of_open_clip(bare)
    if like is not None:
        return f"; did you mean {like}?"
    if bare.count("/") == 1 and ":" not in bare:
        text = bare
        return f"; did you mean hf-hub:{text}? It has to be a repository of open_clip weights."
    return nearest(text, tuple(FORMS.values()))


def of_open_clip(text: str) -> str | None:
    """The name of a model of open_clip that is written otherwise: without weights, in another case, as ``ViT-B/32``."""
    import open_clip

    by_letters = {_letters(name): name for name in open_clip.list_models()}
    head, _, tail = text.rpartition("/")
    for architecture, weights in ((text, ""), (head, tail)):
        known = by_letters.get(_letters(architecture))
        if known is not None:
            tags = open_clip.list_pretrained_tags_by_model(known)
            tag = weights if weights in tags else next(iter(_preferred(tags)), "PRETRAINED")
            return f"open_clip:{known}/{tag}"
    return None


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _preferred(tags: list[str]) -> list[str]:
    """Weights in the order in which they are suggested: open data first."""
    order = ("datacomp", "laion", "webli", "openai")
    return sorted(tags, key=lambda tag: next((i for i, name in enumerate(order) if tag.startswith(name)), len(order)))


def check_vision_name(name: str) -> None:
    """Check the form of the name of an encoder without texts.

    Raises:
        InputError: it is none.
    """
    if not name.startswith((TIMM, EMBEDDINGS)) or not name.partition(":")[2]:
        raise InputError(f"--encoder {name}: give timm:MODEL, timm:FOLDER or embeddings:FOLDER.")
