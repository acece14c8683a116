"""The work of an image encoder and of its text tower by their configuration, without torch."""

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from huggingface_hub import try_to_load_from_cache

from zerolabel.vlms.names import ModelName

TOKENS = 8
"""Of a prompt with a class name in it, start and end among them."""


def architecture(model: str) -> Mapping[str, Any] | None:
    """The configuration of a model of open_clip, from its file; none where it is not on this machine."""
    name = ModelName.parse(model)
    if name.kind == "adapted":
        from zerolabel.vlms.adapted import base_of

        return architecture(base_of(model))
    if name.kind == "open_clip" and not name.path.exists():
        spec = find_spec("open_clip")
        folder = Path(str(spec.origin)).parent if spec else Path()
        return read(folder / "model_configs" / f"{name.rest.rpartition('/')[0]}.json")
    if name.kind == "hf-hub":
        place = try_to_load_from_cache(name.rest, "open_clip_config.json")
        return read(Path(place)).get("model_cfg") if isinstance(place, str) else None
    folder = name.path if name.path.is_dir() else name.path.parent
    return read(folder / "open_clip_config.json").get("model_cfg")


def read(path: Path) -> dict[str, Any]:
    """A JSON file, empty where there is none."""
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found


def encoder_work(config: Mapping[str, Any]) -> tuple[float, float] | None:
    """Billions of multiplications of two transformers, for an image and for a short text; none for other towers."""
    vision, text = config.get("vision_cfg", {}), config.get("text_cfg", {})
    if not isinstance(vision.get("layers"), int) or "patch_size" not in vision:
        return None
    tokens = (int(vision.get("image_size", 224)) // int(vision["patch_size"])) ** 2 + 1
    words = transformer(TOKENS, int(text.get("width", 512)), int(text.get("layers", 12)))
    return transformer(tokens, int(vision.get("width", 768)), vision["layers"]), words


def transformer(tokens: int, width: int, layers: int) -> float:
    """Billions of multiplications: ``layers (12 tokens width^2 + 2 tokens^2 width)``."""
    return layers * (12 * tokens * width**2 + 2 * tokens**2 * width) / 1e9


__all__ = ["architecture", "encoder_work"]
