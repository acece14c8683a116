"""Models of open_clip as the hub holds them: the real architectures, random weights."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import torch
from safetensors.torch import save_file

TINY: dict[str, Any] = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}
SIGLIP = {"init_logit_bias": -10, "custom_text": True}
"""What makes a SigLIP of it."""
PIXELS = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.2], "interpolation": "bicubic", "resize_mode": "squash"}


def full_size(name: str) -> dict[str, Any]:
    """An architecture of open_clip with CLIP's own tokenizer, in place of one that would have to be downloaded."""
    config: dict[str, Any] = open_clip.get_model_config(name)
    text = {key: value for key, value in config["text_cfg"].items() if "tokenizer" not in key}
    return {**config, "text_cfg": {**text, "vocab_size": 49408}}


def write(
    folder: Path,
    config: dict[str, Any] = TINY,
    pixels: dict[str, Any] | None = None,
    change: Callable[[torch.nn.Module], None] | None = None,
) -> str:
    """Write a model, and return its name.

    Args:
        folder: new, or empty.
        config: of the architecture.
        pixels: of the preprocessing; none leaves open_clip's own.
        change: made to the model before its weights are saved.
    """
    torch.manual_seed(0)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": pixels or {}}))
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    if change is not None:
        change(model)
    weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, folder / "open_clip_model.safetensors")
    return f"open_clip:{folder}"
