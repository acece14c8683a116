"""A small vision-language model of written characters, shipped with the package; it needs no network.

An ``open_clip.CLIP`` of about a million parameters that reads single digits and Latin letters. It was trained only on
pictures that ``tools.glyphs`` rendered from fonts and a simulated pen; see ``docs/glyphs.md``.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from zerolabel.data.images.depth import eight_bits
from zerolabel.vlms.prompts import CHARACTERS

TEMPLATES = CHARACTERS
FOLDER = Path(__file__).parent
CONFIG: dict[str, Any] = json.loads((FOLDER / "config.json").read_text())
WEIGHTS = FOLDER / "model.safetensors"

LONGEST_SIDE = 4_096
"""Pixels; a longer side is made so long before the picture is squared, which would take its square in memory."""

PAD, START, END = 0, 257, 258  # a byte b is the token b + 1; END is the largest, which is how CLIP finds it


def revision(weights: Path = WEIGHTS) -> str:
    """A short hash of the weights' content."""
    return hashlib.sha256(weights.read_bytes()).hexdigest()[:12]


REVISION: str = revision() if WEIGHTS.exists() else "untrained"


def tokenize(texts: list[str] | str) -> Int[Tensor, "M L"]:
    """UTF-8 bytes between START and END, padded or cut to the context length."""
    texts = [texts] if isinstance(texts, str) else texts
    length = CONFIG["text_cfg"]["context_length"]
    tokens = torch.full((len(texts), length), PAD, dtype=torch.long)
    for row, text in zip(tokens, texts, strict=True):
        body = [byte + 1 for byte in text.encode("utf-8", errors="replace")[: length - 2]]
        row[: len(body) + 2] = torch.tensor([START, *body, END])
    return tokens


def border(pictures: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B P"]:
    """The outermost pixels of each picture."""
    top, bottom, left, right = pictures[:, 0, 0], pictures[:, 0, -1], pictures[:, 0, :, 0], pictures[:, 0, :, -1]
    return torch.cat([top, bottom, left, right], dim=1)


def stretch(pictures: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B 1 H W"]:
    """Use the whole range 0..1 in each picture; a blank one becomes black."""
    low, high = pictures.amin((1, 2, 3), keepdim=True), pictures.amax((1, 2, 3), keepdim=True)
    return torch.where(high - low > 0.01, (pictures - low) / (high - low).clamp(min=0.01), 0.0)


def light_on_dark(pictures: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B 1 H W"]:
    """Invert the pictures whose border is light, so that ink is light on a dark ground."""
    light = border(pictures).median(dim=1).values[:, None, None, None] > 0.5
    return torch.where(light, 1 - pictures, pictures)


def standardize(pictures: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B 3 H W"]:
    """Gray in 0..1 -> the model's input."""
    mean: float = CONFIG["preprocess_cfg"]["mean"][0]
    deviation: float = CONFIG["preprocess_cfg"]["std"][0]
    return ((pictures - mean) / deviation).expand(-1, 3, -1, -1)


def gray(image: Image.Image) -> Float[Tensor, "1 1 H W"]:
    """Any PIL image in 0..1; what is transparent becomes white, 16 bits become 8."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return torch.from_numpy(eight_bits(np.asarray(image)).astype(np.float32) / 255)[None, None]
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return torch.from_numpy(np.array(image.convert("L"), dtype=np.float32) / 255)[None, None]


def _within(height: int, width: int) -> tuple[int, int]:
    """Both sides made smaller by the same factor, the longer to `LONGEST_SIDE`."""
    longest = max(height, width)
    return max(1, height * LONGEST_SIDE // longest), max(1, width * LONGEST_SIDE // longest)


def preprocess(image: Image.Image) -> Float[Tensor, "3 H W"]:
    """Gray, squared with its border's shade, resized, stretched, light ink on dark."""
    size: int = CONFIG["vision_cfg"]["image_size"]
    picture = gray(image)
    if max(picture.shape[-2:]) > LONGEST_SIDE:
        picture = F.interpolate(picture, _within(*picture.shape[-2:]), mode="bilinear", antialias=True)
    height, width = picture.shape[-2:]
    side, shade = max(height, width), float(border(picture).median())
    left, top = (side - width) // 2, (side - height) // 2
    picture = F.pad(picture, (left, side - width - left, top, side - height - top), value=shade)
    picture = F.interpolate(picture, (size, size), mode="bicubic", antialias=True, align_corners=False)
    return standardize(light_on_dark(stretch(picture.clamp(0, 1))))[0]


def build() -> nn.Module:
    """The architecture of ``config.json``, untrained."""
    import open_clip

    model: nn.Module = open_clip.CLIP(CONFIG["embed_dim"], CONFIG["vision_cfg"], CONFIG["text_cfg"])
    open_clip.set_model_preprocess_cfg(model, {"size": CONFIG["vision_cfg"]["image_size"], **CONFIG["preprocess_cfg"]})
    return model


def load() -> tuple[nn.Module, Callable[[Image.Image], Tensor], Callable[[list[str]], Tensor]]:
    """(model in evaluation mode, preprocess, tokenizer)."""
    model = build()
    model.load_state_dict({name: value.float() for name, value in load_file(WEIGHTS).items()})
    return model.eval(), preprocess, tokenize
